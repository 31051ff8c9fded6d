import numpy as np

from megatts3.evaluation.health import health
from tests.evaluation.signals import RATE, voice


def test_a_voice_is_sound():
    assert health(voice(120.0), RATE).is_sound


def test_samples_that_are_no_numbers_are_counted():
    sound = voice(120.0)
    sound[100:103] = [np.nan, np.inf, -np.inf]
    found = health(sound, RATE)
    assert found.not_finite == 3
    assert not found.is_sound


def test_clipped_samples_are_counted():
    found = health(np.clip(4 * voice(120.0), -1, 1), RATE)
    assert found.clipped > 100
    assert not found.is_sound


def test_silence_is_found_whether_empty_quiet_or_nearly_all():
    nearly_all = np.concatenate([voice(120.0, 0.2), np.zeros(RATE)])
    for sound in (np.zeros(0), np.zeros(RATE), 1e-4 * voice(120.0), nearly_all):
        assert health(sound, RATE).silent


def test_pauses_are_no_silence():
    assert not health(np.concatenate([voice(120.0), np.zeros(RATE)]), RATE).silent
