"""The two chunkers of the reference, exactly; and our own guard behind them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.text import segment
from megatts3.text.normalize import normalize

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
        size -= len(part) - len(part.rstrip())
        assert size <= segment.OVERLONG * (130 if language == "en" else 60) + 1


@given(st.text(st.sampled_from("abc def 甲乙丙，。.,"), max_size=2000), st.sampled_from(["zh", "en"]))
def test_segments_joined_are_the_text(text, language):
    expected = text if language == "en" else text.translate(str.maketrans(".,", "。，"))
    parts = segment.segments(text, language)
    assert "".join(parts) == expected
    assert all(parts)


@pytest.mark.parametrize(
    "text",
    [
        "Nothing was said.  Then, at 5 o'clock, the old doctor came: he opened the window! " * 8,
        "昨天下午我去了火车站，买了3张票。" * 12 + "OK，走吧！",
    ],
    ids=["English", "Chinese"],
)
def test_segments_of_what_the_normaliser_made_are_all_of_it(text):
    normalized = normalize(text)
    assert "".join(segment.segments(normalized.text, normalized.language)) == normalized.text


@pytest.mark.parametrize(
    ("text", "language", "first"),
    [
        # a sentence that is short
        ("It was late at night. " + "The rain had stopped, and the street was empty. " * 5, "en", "It was late at night. "),
        ("今天天气真的很好。" + "我们一起去公园看看花，然后回家吃饭。" * 6, "zh", "今天天气真的很好。"),
        # one word is no segment
        ("Yes. It was late at night. " + "The rain had stopped at last. " * 6, "en", "Yes. It was late at night. "),
        # a clause, where the sentence is long
        ("When the rain had stopped, " + "the street was empty and the lamps were lit one by one by hand. " * 4, "en", "When the rain had stopped, "),
        ("雨终于停下来以后，" + "街上一个人也没有而路灯一盏一盏地亮起来一直亮到了很远的地方" * 2 + "。" + "我们回家吧。" * 9, "zh", "雨终于停下来以后，"),
        # a number is not cut
        ("He paid 1,500.75 dollars for it, " + "and nobody knew why he had done so. " * 6, "en", "He paid 1,500.75 dollars for it, "),
    ],
    ids=["sentence", "Chinese sentence", "more than a word", "clause", "Chinese clause", "number"],
)  # fmt: skip
def test_a_long_text_begins_with_a_short_segment_that_ends_in_a_pause(text, language, first):
    assert segment.segments(text, language)[0] == first


@pytest.mark.parametrize(
    ("text", "language"),
    [("It was late. The rain had stopped, and the street was empty.", "en"), ("今天天气真好。我们去公园，看看花。", "zh")],
)  # fmt: skip
def test_a_text_that_fits_one_segment_is_one(text, language):
    assert segment.segments(text, language) == [text]


def test_where_there_is_no_pause_nothing_is_cut_short():
    text = "word " * 100
    assert len(segment.segments(text, "en")[0]) > 100


def test_an_overlong_sentence_is_cut_between_words_into_like_parts():
    text = "This is one extremely long sentence that goes on and on " * 10
    parts = segment.segments(text.strip(), "en")
    assert "".join(parts) == text.strip()
    assert max(len(part.strip()) for part in parts) <= 130
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
