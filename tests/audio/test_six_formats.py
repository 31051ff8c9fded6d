"""One clip of speech in every format that is answered in, read by another maker's decoder: the same speech."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from megatts3.audio.formats import encode
from megatts3.audio.waveform import Waveform
from tests.independent_decoder import RATE, decoded

CLIP = Path(__file__).parents[2] / "checkpoints" / "mini" / "voices" / "default.flac"


def colour(samples: np.ndarray) -> np.ndarray:
    """Average log power from 200 Hz to 6 kHz in bands of 100 Hz: what codecs keep, wherever they begin."""
    size = RATE // 100
    frames = samples[: len(samples) // size * size].reshape(-1, size) * np.hanning(size)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0)[2:60]
    return np.log(power + 0.01 * power.max())


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus", "flac", "aac", "pcm"])
def test_a_format_holds_the_speech_that_was_put_in(audio_format):
    samples, rate = soundfile.read(CLIP, dtype="float32")
    assert rate == RATE
    found = decoded(encode(Waveform(samples, RATE), audio_format), audio_format)

    assert len(found) / RATE == pytest.approx(len(samples) / RATE, abs=0.13)  # a codec's padding
    assert np.median(np.abs(colour(found) - colour(samples))) < 0.2  # 0.9 dB


def test_another_sentence_would_be_told_apart():
    samples, _ = soundfile.read(CLIP, dtype="float32")
    other, _ = soundfile.read(CLIP.with_name("voice_003.flac"), dtype="float32")

    assert np.median(np.abs(colour(other) - colour(samples))) > 0.3
