"""Two languages, by script, and code-switching inside a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.text.language import language_of, language_spans


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("hello", "en"),
        ("你好", "zh"),
        ("OK，好", "zh"),
        ("123", "en"),
        ("", "en"),
        ("a long English text 和", "zh"),
        ("𠮷", "zh"),
    ],
)
def test_a_text_with_han_is_chinese(text, language):
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("我用 GPU 跑", ["zh:我用 ", "en:GPU", "zh: 跑"]),
        ("他说 I have 3 apples 吧", ["zh:他说 ", "en:I have 3 apples", "zh: 吧"]),
        ("第 3 章 Chapter 3 吧", ["zh:第 3 章 ", "en:Chapter", "zh: 3 吧"]),
        ("MegaTTS3 发布", ["zh:MegaTTS3 发布"]),
        ("时速30km/h的车", ["zh:时速30km/h的车"]),
        ("I have 3", ["en:I have 3"]),
    ],
)
def test_numbers_take_the_language_around_them(text, spans):
    assert [f"{span.language}:{span.text}" for span in language_spans(text)] == spans


@given(st.text(st.sampled_from("中文 ab1,.!-'%\n，"), max_size=80))
def test_spans_joined_are_the_text(text):
    assert "".join(span.text for span in language_spans(text)) == text
