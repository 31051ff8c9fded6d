"""Every code and every field problem has a sentence in both languages."""

from __future__ import annotations

import pytest

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import (
    CODES,
    FIELDS,
    Language,
    choose_language,
    describe,
    describe_code,
    describe_field,
    field_error,
)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_a_short_sentence_in_both_languages(code):
    english, chinese = CODES[code]
    assert english.isascii()
    assert not chinese.isascii()
    for language in Language:
        assert 2 < len(describe_code(code, language)) < 120
        assert "{" not in describe_code(code, language)


@pytest.mark.parametrize("problem", list(FieldProblem))
def test_every_field_problem_names_the_field_in_both_languages(problem):
    error = field_error("speed", problem, "0.25..4")
    assert set(FIELDS) == set(FieldProblem)
    for language in Language:
        assert "speed" in describe_field(error, language)


def test_numbers_are_filled_in():
    error = ServiceError(ErrorCode.TEXT_TOO_LONG, params={"length": 1200, "limit": 1000})
    assert "1200" in describe(error)
    assert "1000" in describe(error, Language.ZH)


def test_an_own_detail_is_said_in_english_and_the_codes_sentence_in_chinese():
    error = ServiceError(ErrorCode.CONFLICT, "this Idempotency-Key was used with another body")
    assert describe(error).startswith("this Idempotency-Key")
    assert describe(error, Language.ZH) == CODES[ErrorCode.CONFLICT][1]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("*", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("fr, zh;q=0.5, en;q=0.1", "zh"),
        ("zh;q=nonsense, en;q=0.1", "en"),
    ],
)
def test_the_language_is_the_clients_first_wish(header, language):
    assert choose_language(header) is Language(language)
