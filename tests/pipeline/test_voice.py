"""Reference audio → voice: the same clip is the same voice, and what cannot become one is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.audio.resample import resample
from megatts3.audio.waveform import Waveform
from megatts3.errors import AlignmentFailed, LatentInvalid, LatentRequired, PromptSilent, PromptTooShort
from megatts3.models.aligner import Aligner
from megatts3.pipeline.alignment import Alignment
from megatts3.pipeline.voice import VoicePrompt, assemble, prepare_voice


def fitting_latent(seconds, offset=0):
    frames = int(25 * (seconds + 0.5)) + offset
    return np.random.default_rng(1).standard_normal((frames, 32)).astype(np.float32)


def test_the_same_clip_is_always_the_same_voice(tiny, recording):
    assert prepare_voice(tiny, recording()).fingerprint == prepare_voice(tiny, recording()).fingerprint


def test_a_sampled_latent_repeats_with_its_seed_and_differs_with_another(tiny, recording):
    first, again, other = (prepare_voice(tiny, recording(), seed=seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first.latent, again.latent)
    assert not np.array_equal(first.latent, other.latent)


def test_a_voice_survives_being_stored(voice):
    stored = voice.to_bytes()
    again = VoicePrompt.from_bytes(stored)

    assert again.to_bytes() == stored
    assert again.fingerprint == voice.fingerprint
    assert (again.phones, again.tones, again.durations) == (voice.phones, voice.tones, voice.durations)
    assert again.loudness_lufs == voice.loudness_lufs


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b[1:], lambda _: b"", lambda b: b.replace(b"/1", b"/9")],
    ids=["cut", "shifted", "empty", "another form"],
)
def test_bytes_that_are_no_stored_voice_are_refused(voice, damage):
    with pytest.raises(ValueError, match="stored voice"):
        VoicePrompt.from_bytes(damage(voice.to_bytes()))


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_any_sample_rate_gives_a_voice_of_the_same_length(tiny, recording, rate, voice):
    clip = recording()
    assert abs(prepare_voice(tiny, resample(clip, rate)).latent_frames - voice.latent_frames) <= 2


def test_a_long_clip_is_cut_at_28_seconds(tiny, recording):
    assert prepare_voice(tiny, recording(31.0)).latent_frames == prepare_voice(tiny, recording(28.0)).latent_frames
    assert prepare_voice(tiny, recording(31.0)).latent_frames <= 25 * 28.5


def test_a_clip_that_is_too_short_is_refused(tiny, recording):
    with pytest.raises(PromptTooShort) as caught:
        prepare_voice(tiny, recording(0.5))
    assert caught.value.duration_s == pytest.approx(0.5)
    assert caught.value.minimum_s == 1.0


@pytest.mark.parametrize("level", [0.0, 1e-7, 1e-4])
def test_silence_is_refused(tiny, recording, level):
    with pytest.raises(PromptSilent):
        prepare_voice(tiny, recording(level=level))


def test_without_an_encoder_a_latent_is_required_and_enough(tiny_without_encoder, recording):
    with pytest.raises(LatentRequired):
        prepare_voice(tiny_without_encoder, recording())
    supplied = fitting_latent(3.0)
    found = prepare_voice(tiny_without_encoder, recording(), latent=supplied)

    np.testing.assert_array_equal(found.latent, supplied[: found.latent_frames])


def test_a_supplied_latent_is_preferred_over_encoding(tiny, recording, voice):
    assert not np.array_equal(prepare_voice(tiny, recording(), latent=fitting_latent(3.0)).latent, voice.latent)


@pytest.mark.parametrize("offset", [-3, 3, 40])
def test_a_latent_of_another_clip_is_refused(tiny, recording, offset):
    with pytest.raises(LatentInvalid):
        prepare_voice(tiny, recording(), latent=fitting_latent(3.0, offset))


def test_a_long_clip_is_held_against_its_latent_before_it_is_cut(tiny, recording):
    found = prepare_voice(tiny, recording(31.0), latent=fitting_latent(31.0))
    assert found.latent_frames <= 25 * 28.5
    with pytest.raises(LatentInvalid):
        prepare_voice(tiny, recording(31.0), latent=fitting_latent(28.0))


@given(samples=st.integers(24_000, 24_000 * 6), offset=st.integers(-2, 2))
@settings(max_examples=25, deadline=None)
def test_every_latent_within_tolerance_fits_any_clip(tiny, recording, samples, offset):
    clip = recording(6.0)
    clip = Waveform(clip.samples[:samples], clip.sample_rate)
    found = prepare_voice(tiny, clip, latent=fitting_latent(clip.duration_s, offset))

    assert sum(found.durations) == found.frames
    assert found.frames % 8 == 0
    assert min(found.durations) >= 0


def test_what_a_short_latent_does_not_cover_is_taken_from_the_last_phones():
    alignment = Alignment((145, 118, 148), (3, 3, 3), (16, 40, 8))
    found = assemble(alignment, np.zeros((13, 32), np.float32), -20.0)

    assert found.durations == (16, 32)
    assert found.latent_frames == 12


def test_an_aligner_that_babbles_is_an_alignment_failure(tiny, recording):
    babbling = replace(tiny, aligner=Aligner(tiny.aligner.config).eval())
    with pytest.raises(AlignmentFailed):
        prepare_voice(babbling, recording())


def test_a_voice_whose_parts_disagree_cannot_be_made(voice):
    with pytest.raises(ValueError, match="durations sum"):
        replace(voice, durations=(*voice.durations[:-1], voice.durations[-1] + 1))
