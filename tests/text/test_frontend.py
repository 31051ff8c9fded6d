"""The front end as a whole: a user's text to segments of phones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from megatts3.errors import TextEmpty
from megatts3.text.frontend import TextFrontend
from megatts3.text.phones import NO_TONE, SILENCE, inventory, is_speech, punctuation_phone
from megatts3.text.pronunciation import PhonemizedSegment

FRONTEND = TextFrontend()


@pytest.mark.parametrize("text", ["", "   ", "...", "😀😀", "，。！", "\n\n", "“”", "Привет", "---", "()"])
def test_a_text_with_nothing_to_say_is_refused(text):
    with pytest.raises(TextEmpty):
        FRONTEND.segments(text)


def test_a_text_is_normalised_cut_and_pronounced():
    reading = FRONTEND.read("价格是￥1,234.50😀。")
    assert (reading.language, reading.normalized, reading.dropped) == ("zh", "价格是一千二百三十四点五元。", ("😀",))
    (segment,) = reading.segments
    assert segment.text == reading.normalized
    assert segment.phones[0] == SILENCE
    assert segment.phones[-1] == punctuation_phone("。")


def test_english_and_chinese_books_become_many_short_segments():
    for text, language in (
        ("I have 3 apples, and you have 4. " * 60, "en"),
        ("我有3个苹果，你有4个，他没有。" * 60, "zh"),
    ):
        segments = FRONTEND.segments(text)
        assert len(segments) > 10
        assert {segment.language for segment in segments} == {language}
        assert max(len(segment.phones) for segment in segments) < 260
        assert all(segment.is_speakable for segment in segments)


def test_another_pronouncer_can_take_the_place():
    class Spelling:
        def pronounce_all(self, texts, language):
            return [PhonemizedSegment(text, (SILENCE, 101), (NO_TONE, NO_TONE), language) for text in texts]

    assert TextFrontend(Spelling()).segments("hello")[0].phones == (SILENCE, 101)


@pytest.mark.parametrize(
    "text",
    [
        "MegaTTS3: a 2024 TTS model (https://github.com/a/b) costs $0, supports GPU & CPU.",
        "MegaTTS3 是一个 TTS 模型，支持 GPU 和 CPU，参数 0.45B，见 https://github.com/a/b。",
        "C'est la vie; naïve café — déjà vu… 100% sure?",
        "他说：“Let's go!” 然后走了——再也没回来～",
        "③ 第一章 ① ½ 杯 5‰ Ⅳ ㎏",
    ],
)
def test_real_texts_have_phones_and_lose_nothing(text):
    reading = FRONTEND.read(text)
    assert all(any(map(is_speech, segment.phones)) for segment in reading.segments)
    assert all(phone < len(inventory().names) for segment in reading.segments for phone in segment.phones)
    assert reading.dropped == ()


def test_importing_the_front_end_is_light():
    """No torch, and neither the normaliser nor the pinyin tables before they are needed."""
    code = "import sys, megatts3.text.frontend; print([m for m in ('torch', 'wetext', 'pypinyin', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
