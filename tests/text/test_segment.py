"""The two chunkers of the reference, exactly; and our own guard behind them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.text import segment

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "text" / "segmentation.json").read_text("utf-8"))
TEXT = st.text(st.sampled_from("甲乙丙丁㐀，。、！？；：…—～ab c.,!?;:-~ \n1"), max_size=400)
ENGLISH = st.text(st.sampled_from("abc def.,!?;: \n'-é，。"), max_size=400)


@pytest.mark.parametrize("case", GOLDEN["chinese_v2"])
def test_chinese_chunks_are_the_references(case):
    assert segment.chunk_chinese(case["text"], case["limit"], case["look_ahead_limit"]) == case["out"]


@pytest.mark.parametrize("case", GOLDEN["english"])
def test_english_chunks_are_the_references(case):
    assert segment.chunk_english(case["text"], case["max_bytes"]) == case["out"]


@given(TEXT, st.integers(5, 60))
def test_chinese_chunks_joined_are_the_text_with_wide_marks(text, limit):
    wide = text.translate(str.maketrans(".,!?;:", "。，！？；："))
    assert "".join(segment.chunk_chinese(text, limit, limit // 2)) == wide


@given(TEXT, st.integers(5, 60))
def test_a_chinese_chunk_has_at_most_the_limit_and_what_the_look_ahead_adds(text, limit):
    for chunk in segment.chunk_chinese(text, limit, 30):
        assert sum("\u4e00" <= c <= "\u9fff" for c in chunk) < limit + 30


@given(ENGLISH, st.integers(10, 130))
def test_english_chunks_lose_nothing_but_blanks(text, limit):
    joined = "".join(segment.chunk_english(text, limit))
    assert re.sub(r"\s", "", joined) == re.sub(r"\s", "", text)


@given(ENGLISH, st.integers(10, 130))
def test_an_english_chunk_over_the_limit_is_one_piece_without_a_border(text, limit):
    for chunk in segment.chunk_english(text, limit):
        assert len(chunk.encode()) <= limit + 1 or not re.search(r"[;:,.!?]\s+\S", chunk)


@given(st.text(st.sampled_from("abc def 甲乙丙，。.,"), max_size=3000), st.sampled_from(["zh", "en"]))
def test_no_segment_is_much_longer_than_its_limit(text, language):
    for part in segment.segments(text, language):
        size = len(part.encode()) if language == "en" else sum(0.46 if c.isascii() else 1 for c in part)
        assert size <= segment.OVERLONG * (130 if language == "en" else 60) + 1


@given(st.text(st.sampled_from("abc def 甲乙丙，。.,"), max_size=2000), st.sampled_from(["zh", "en"]))
def test_segments_lose_nothing_but_blanks(text, language):
    joined = re.sub(r"\s", "", "".join(segment.segments(text, language)))
    expected = re.sub(r"\s", "", text)
    assert joined == (expected if language == "en" else expected.translate(str.maketrans(".,", "。，")))


def test_an_overlong_sentence_is_cut_between_words_into_like_parts():
    text = "This is one extremely long sentence that goes on and on " * 10
    parts = segment.segments(text.strip(), "en")
    assert " ".join(parts) == text.strip()
    assert max(map(len, parts)) <= 130
    assert min(map(len, parts)) > 60


def test_a_word_longer_than_the_limit_is_cut_too():
    parts = segment.segments("x" * 1000, "en")
    assert "".join(parts) == "x" * 1000
    assert max(map(len, parts)) <= 130


def test_a_phrase_a_little_over_the_limit_stays_whole():
    text = "word " * 30 + "end."
    assert segment.segments(text, "en") == [text]


def test_english_inside_a_chinese_text_is_bounded_as_well():
    parts = segment.segments("他说" + "this is a long story " * 30 + "完了。", "zh")
    assert max(map(len, parts)) <= 60 / (60 / 130) + 1
