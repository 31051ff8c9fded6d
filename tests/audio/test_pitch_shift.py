"""The pitch that is asked for is the pitch that is measured, and nothing moves in time."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from megatts3.audio.pitch import pitch
from megatts3.audio.pitch_shift import shift_pitch
from megatts3.audio.waveform import Waveform

VOICES = Path(__file__).parents[2] / "checkpoints" / "mini" / "voices"
RATE = 24_000


def speech(name: str) -> Waveform:
    samples, rate = soundfile.read(VOICES / f"{name}.flac", dtype="float32")
    return Waveform(samples[: 5 * rate], rate)


def measured_factor(before: Waveform, after: Waveform) -> float:
    """Median ratio of the fundamental over the frames that are voiced in both."""
    one, other = (pitch(each.samples, each.sample_rate).hz for each in (before, after))
    voiced = (one > 0) & (other > 0)
    assert voiced.sum() > 50
    return float(np.median(other[voiced] / one[voiced]))


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.1, 1.5])
@pytest.mark.parametrize("name", ["default", "voice_001"])
def test_the_fundamental_moves_by_the_factor_and_the_length_stays(name, factor):
    before = speech(name)
    after = shift_pitch(before, factor)

    assert len(after.samples) == len(before.samples)
    assert after.sample_rate == before.sample_rate
    assert measured_factor(before, after) == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_ends_of_the_range_hold_on_a_plain_voice(factor):
    t = np.arange(2 * RATE) / RATE
    before = Waveform(sum(np.sin(2 * np.pi * 200 * k * t) / k for k in range(1, 12)).astype(np.float32) / 4, RATE)

    assert measured_factor(before, shift_pitch(before, factor)) == pytest.approx(factor, rel=0.03)


def test_what_is_said_is_said_when_it_was():
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE : RATE + RATE // 2] = np.sin(2 * np.pi * 200 * np.arange(RATE // 2) / RATE)
    loud = np.flatnonzero(np.convolve(shift_pitch(Waveform(samples, RATE), 1.4).samples ** 2, np.ones(240) / 240) > 0.1)

    assert loud[0] / RATE == pytest.approx(1.0, abs=0.03)
    assert loud[-1] / RATE == pytest.approx(1.5, abs=0.03)


def test_a_factor_of_one_changes_nothing_and_the_same_input_gives_the_same_output():
    before = speech("default")

    assert shift_pitch(before, 1.0) is before
    np.testing.assert_array_equal(shift_pitch(before, 1.3).samples, shift_pitch(before, 1.3).samples)


@pytest.mark.parametrize("length", [0, 1, 7, 500])
def test_hardly_any_sound_is_taken_too(length):
    found = shift_pitch(Waveform(np.full(length, 0.1, np.float64), RATE), 1.3)

    assert len(found.samples) == length
    assert np.isfinite(found.samples).all()
