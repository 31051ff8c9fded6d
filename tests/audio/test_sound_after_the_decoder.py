"""Loudness, joining and 16-bit conversion against recorded values (SPEC 8.3, 8.4), and where they have no answer."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from megatts3.audio import loudness
from megatts3.audio.join import Joiner, join
from megatts3.audio.waveform import Waveform

GOLDEN = Path(__file__).parent.parent / "golden" / "audio_post"
RATE = 24_000


@pytest.fixture(scope="module")
def recorded():
    return load_file(GOLDEN / "audio.safetensors")


@pytest.fixture(scope="module")
def facts():
    return json.loads((GOLDEN / "audio.json").read_text())


def noise(length, *, level=0.1, seed=0):
    return Waveform((np.random.default_rng(seed).standard_normal(length) * level).astype(np.float32), RATE)


def test_joined_segments_are_the_recorded_ones(recorded):
    joined = join([Waveform(recorded[f"seg{i}"], RATE) for i in range(3)])

    np.testing.assert_allclose(joined.samples, recorded["combined"], rtol=0, atol=1e-7)


def test_16_bit_samples_are_exactly_the_recorded_ones(recorded):
    combined = recorded["combined"].astype(np.float64) * 0.9

    np.testing.assert_array_equal(Waveform(combined, RATE).pcm16(), recorded["pcm_of_0p9_combined"])


@pytest.mark.parametrize("case", ["loud0", "loud1", "loud2"])
def test_loudness_is_measured_and_matched_as_recorded(recorded, facts, case):
    source = Waveform(recorded[f"{case}.in"], RATE)

    assert loudness.measure(source) == pytest.approx(facts[case]["loudness_in"], abs=1e-9)
    matched = loudness.match(source, facts[case]["target"])
    np.testing.assert_allclose(matched.samples, recorded[f"{case}.out"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 5_000, 48_000])
def test_silence_has_no_loudness_and_stays_silent(length):
    silence = Waveform(np.zeros(length, np.float32), RATE)

    assert loudness.measure(silence) is None
    assert loudness.match(silence, -20.0).peak == 0.0


def test_sound_below_the_gate_has_no_loudness():
    assert loudness.measure(noise(RATE, level=1e-7)) is None


def test_a_clip_shorter_than_a_block_is_measured_as_if_it_repeated():
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)

    short, long = loudness.measure(Waveform(tone[:6_000], RATE)), loudness.measure(Waveform(tone, RATE))
    assert short == pytest.approx(long, abs=0.2)


def test_a_matched_clip_never_reaches_full_scale():
    assert loudness.match(noise(RATE), 3.0).peak == pytest.approx(0.95)


def test_samples_above_full_scale_are_clipped_and_do_not_wrap():
    assert Waveform(np.array([1.5, -1.5], np.float32), RATE).pcm16().tolist() == [32767, -32768]


def test_a_waveform_cannot_be_changed_by_who_holds_it():
    waveform = noise(10)
    with pytest.raises(ValueError, match="read-only"):
        waveform.samples[0] = 1.0


def test_a_segment_shorter_than_the_overlap_is_joined_over_its_own_length():
    joined = join([noise(9_000), noise(1_000, seed=1), noise(9_000, seed=2)])

    assert np.isfinite(joined.samples).all()
    assert len(joined.samples) == 9_000 + 1_000 - 1_000 + 9_000 - 3_840


@given(lengths=st.lists(st.integers(0, 12_000), min_size=1, max_size=6))
def test_pieces_given_out_while_streaming_are_the_joined_whole(lengths):
    segments = [noise(length, seed=i) for i, length in enumerate(lengths)]
    joiner = Joiner(RATE)
    pieces = [joiner.push(segment).samples for segment in segments] + [joiner.finish().samples]

    np.testing.assert_array_equal(np.concatenate(pieces), join(segments).samples)


@given(lengths=st.lists(st.integers(3_840, 12_000), min_size=1, max_size=6))
def test_joining_takes_one_overlap_a_seam(lengths):
    joined = join([noise(length, seed=i) for i, length in enumerate(lengths)])

    assert len(joined.samples) == sum(lengths) - 3_840 * (len(lengths) - 1)
