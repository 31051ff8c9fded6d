import numpy as np
import pytest

from megatts3.audio.pitch import pitch
from tests.evaluation.signals import RATE, tone, voice


@pytest.mark.parametrize("hz", [62.0, 80.0, 123.0, 220.0, 333.0, 480.0])
def test_a_tone_has_its_own_pitch(hz):
    assert pitch(tone(hz), RATE).median_hz == pytest.approx(hz, rel=0.01)


@pytest.mark.parametrize("hz", [70.0, 110.0, 205.0, 310.0])
def test_a_buzz_rich_in_harmonics_has_the_pitch_of_its_first(hz):
    assert pitch(voice(hz), RATE).median_hz == pytest.approx(hz, rel=0.02)


def test_a_voice_whose_first_harmonic_is_missing_keeps_its_pitch():
    telephone = sum(tone(150.0 * n, 1.0) for n in (3, 4, 5, 6))
    assert pitch(telephone, RATE).median_hz == pytest.approx(150.0, rel=0.01)


def test_level_and_sample_rate_do_not_matter():
    sound = voice(140.0)
    assert pitch(1e-3 * sound, RATE).median_hz == pytest.approx(140.0, rel=0.02)
    assert pitch(sound[::2], RATE // 2).median_hz == pytest.approx(140.0, rel=0.02)


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.zeros(0), np.ones(50)], ids=["silence", "nothing", "a click"])
def test_without_a_voice_there_is_no_pitch(sound):
    assert pitch(sound, RATE).median_hz is None


def test_noise_is_hardly_ever_voiced():
    noise = np.random.default_rng(1).normal(0, 0.1, RATE)
    found = pitch(noise, RATE)
    assert len(found.voiced) < 0.1 * len(found.hz)


def test_pauses_between_words_are_not_voiced():
    found = pitch(np.concatenate([voice(120.0), np.zeros(RATE), voice(120.0)]), RATE)
    assert np.mean(found.hz[110:190] > 0) == 0
    assert found.median_hz == pytest.approx(120.0, rel=0.02)
