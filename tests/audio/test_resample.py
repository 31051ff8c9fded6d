"""Lengths follow the rule of the specification; a change of rate keeps what it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.audio.resample import resample, resampled_length
from megatts3.audio.waveform import Waveform


def tone(frequency, samples, rate=24_000):
    return Waveform(np.sin(2 * np.pi * frequency * np.arange(samples) / rate).astype(np.float32), rate)


def loudest_frequency(waveform):
    spectrum = np.abs(np.fft.rfft(waveform.samples * np.hanning(len(waveform.samples))))
    return np.argmax(spectrum) * waveform.sample_rate / len(waveform.samples)


@given(windows=st.integers(11, 60))
def test_a_padded_prompt_gives_800_samples_a_window(windows):
    """SPEC 4.1: 1200·k − 1 samples at 24 kHz become 800·k at 16 kHz; one fewer would lose a frame."""
    assert resampled_length(1_200 * windows - 1, 24_000, 16_000) == 800 * windows
    assert len(resample(tone(200, 1_200 * windows - 1), 16_000).samples) == 800 * windows


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_the_pitch_stays_when_the_rate_changes(rate):
    assert loudest_frequency(resample(tone(440, 24_000), rate)) == pytest.approx(440, abs=2)


def test_nothing_is_resampled_to_nothing():
    assert len(resample(Waveform(np.zeros(0, np.float32), 24_000), 16_000).samples) == 0
