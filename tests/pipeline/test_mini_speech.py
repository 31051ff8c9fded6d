"""What speed, pitch and the six formats do to speech that mini itself speaks, measured on its sound."""

from pathlib import Path

import numpy as np
import pytest

from megatts3.api import SamplingParams, Synthesizer, VoicePrompt, encode
from megatts3.audio.pitch import pitch
from megatts3.audio.waveform import Waveform
from tests.independent_decoder import RATE, decoded

MINI = Path(__file__).parents[2] / "checkpoints" / "mini"
TEXT = "The morning train was late again, so we walked along the river and talked about the summer."
STEPS = 8  # enough for a voice with a pitch


class Speaker:
    """mini with its default voice."""

    def __init__(self) -> None:
        self.mini = Synthesizer.load(MINI)
        self.voice: VoicePrompt = self.mini.voice(MINI / "voices" / "default.flac")

    def say(self, **changes: float) -> Waveform:
        return self.mini.say(TEXT, self.voice, SamplingParams(steps=STEPS, seed=3, **changes))


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture(scope="module")
def plain(speaker: Speaker) -> Waveform:
    spoken = speaker.say()
    assert 3.0 < spoken.duration_s < 9.0
    return spoken


@pytest.mark.parametrize(("speed", "ratio"), [(2.0, 0.5), (0.5, 2.0)])
def test_twice_as_fast_is_half_as_long(speaker: Speaker, plain: Waveform, speed: float, ratio: float):
    spoken = speaker.say(speed=speed)

    assert spoken.duration_s / plain.duration_s == pytest.approx(ratio, rel=0.1)
    assert np.std(spoken.samples) == pytest.approx(np.std(plain.samples), rel=0.5)  # speech, and no silence


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_the_pitch_is_measured_and_the_length_stays(speaker: Speaker, plain: Waveform, factor: float):
    spoken = speaker.say(pitch=factor)
    one, other = (pitch(each.samples, each.sample_rate).hz for each in (plain, spoken))
    both = (one > 0) & (other > 0)

    assert spoken.duration_s == pytest.approx(plain.duration_s, rel=0.01)
    assert both.sum() > 50
    assert float(np.median(other[both] / one[both])) == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus", "flac", "aac", "pcm"])
def test_every_format_decodes_to_what_was_spoken(plain: Waveform, audio_format: str):
    """By another maker's decoder; shifted by no more than a codec's padding, and then alike."""
    found = decoded(encode(plain, audio_format), audio_format)

    assert len(found) / RATE == pytest.approx(plain.duration_s, abs=0.13)
    assert likeness(plain.samples, found) > 0.9


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation at the best shift within 0.15 s."""
    size = 1 << (len(one) + len(other)).bit_length()
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    reach = round(0.15 * RATE)
    correlation = np.fft.irfft(spectrum, size)
    best = max(correlation[: reach + 1].max(), correlation[-reach:].max())
    return float(best / (np.linalg.norm(one) * np.linalg.norm(other)))
