"""Which requests are the same request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fingerprint import (
    audio_fingerprint,
    body_hash,
    estimate_audio_s,
    segment_fingerprint,
    voice_fingerprint,
    with_seed,
)
from contract.schemas import AudioFormat, Quality, SpeechRequest

REQUEST = SpeechRequest(text="你好", seed=1)


def key(request=REQUEST, voice="v", revision="r"):
    return audio_fingerprint(request, voice=voice, revision=revision)


@pytest.mark.parametrize(
    "change",
    [
        {"text": "你好。"},
        {"voice_id": "bob"},
        {"speed": 1.01},
        {"pitch": 1.01},
        {"emotion": "happy"},
        {"time_step": 31},
        {"p_w": 1.7},
        {"t_w": 2.6},
        {"seed": 2},
        {"response_format": AudioFormat.MP3},
        {"sample_rate": 16_000},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_the_sound_changes_the_fingerprint(change):
    assert key(replace(REQUEST, **change)) != key()


@pytest.mark.parametrize(
    "change",
    [{"cache": False}, {"strict": True}, {"stream": True}, {"quality": Quality.STANDARD}],
    ids=lambda change: next(iter(change)),
)
def test_how_it_is_delivered_does_not(change):
    assert key(replace(REQUEST, **change)) == key()


def test_the_voices_recording_and_the_checkpoint_are_part_of_it():
    assert len({key(), key(voice="w"), key(revision="s")}) == 3


def test_a_derived_seed_depends_on_who_speaks_and_how_and_not_on_the_text_or_the_form_of_the_audio():
    request = SpeechRequest(text="a")
    seeded = with_seed(request, voice="v")
    assert seeded == with_seed(request, voice="v")
    assert 0 <= seeded.seed < 2**32
    assert with_seed(replace(request, response_format=AudioFormat.MP3), voice="v").seed == seeded.seed
    assert with_seed(replace(request, text="b"), voice="v").seed == seeded.seed, "an edit leaves the rest as it was"
    assert with_seed(replace(request, speed=2.0), voice="v").seed != seeded.seed
    assert with_seed(request, voice="w").seed != seeded.seed
    assert with_seed(replace(request, seed=5), voice="v").seed == 5


def test_a_request_without_a_seed_has_no_fingerprint():
    with pytest.raises(ValueError, match="seed"):
        key(SpeechRequest(text="a"))


def test_a_segment_is_the_same_in_any_text_and_any_form():
    def segment(request, *, phones=(1, 2), index=0, is_last=False):
        return segment_fingerprint(phones, (0, 0), request, voice="v", revision="r", index=index, is_last=is_last)

    assert segment(REQUEST) == segment(replace(REQUEST, text="a. b.", response_format=AudioFormat.MP3))
    assert segment(REQUEST) != segment(replace(REQUEST, speed=2.0))
    assert segment(REQUEST) != segment(REQUEST, phones=(1, 3))
    assert segment(REQUEST) != segment(REQUEST, index=1), "its noise is another"
    assert segment(REQUEST) != segment(REQUEST, is_last=True), "its end is another"
    assert segment(REQUEST) != key()


def test_a_voice_is_its_clip_and_its_latent():
    hashes = {voice_fingerprint(b"a"), voice_fingerprint(b"b"), voice_fingerprint(b"a", b"l")}
    assert len(hashes | {voice_fingerprint(None, b"l")}) == 4


def test_a_body_is_the_same_in_any_order():
    assert body_hash({"a": 1, "b": [2]}) == body_hash({"b": [2], "a": 1})
    assert body_hash({"a": 1}) != body_hash({"a": 2})


@given(st.text(), st.floats(0.25, 4))
def test_an_estimate_is_positive_and_longer_for_slower_speech(text, speed):
    assert estimate_audio_s(text, speed=speed) > 0
    assert estimate_audio_s(text, speed=0.25) >= estimate_audio_s(text, speed=speed)


def test_estimates_are_near_read_speech():
    assert 2 < estimate_audio_s("欢迎使用语音合成服务,今天天气很好。") < 6
    assert 2 < estimate_audio_s("The quick brown fox jumps over the lazy dog.") < 4
