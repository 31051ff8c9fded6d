"""Tiny random networks, a voice made with them, and a front end that spells."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import load_networks
from megatts3.pipeline.voice import prepare_voice
from scripts.make_tiny_checkpoint import make_tiny_checkpoint


@dataclass(frozen=True)
class Spelled:
    text: str
    phones: tuple[int, ...]
    tones: tuple[int, ...]


class SpellingFrontend:
    """A segment a line; a phone a letter; a full stop ends a segment.  The twin of TextFrontend."""

    def segments(self, text):
        return [self._spell(line) for line in text.splitlines() if line]

    def _spell(self, line):
        phones = (145, *(self._phone(character) for character in line.lower() if character != " "))
        return Spelled(line, phones, (3,) * len(phones))

    def _phone(self, character):
        marks = {".": 148, ",": 163}
        return marks.get(character) or 101 + (ord(character) - ord("a")) % 44


def reference_audio(seconds=3.0, *, rate=24_000, level=0.2, seed=0):
    """Noise that swells and fades as syllables do."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return Waveform((level * noise * np.abs(np.sin(2 * np.pi * 1.5 * t))).astype(np.float32), rate)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tiny networks lose more by sharing out their work than by doing it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """With a decoder of the official form: to the sample what it is in any company and any window."""
    return load_networks(make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), decoder="hifigan"))


@pytest.fixture(scope="session")
def tiny_light(tmp_path_factory):
    """With the light decoder, whose pulses sum up rounding differences of a latent (ADR 0007)."""
    return load_networks(make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), decoder="source_filter"))


@pytest.fixture(scope="session")
def tiny_without_encoder(tmp_path_factory):
    return load_networks(make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), encoder=False))


@pytest.fixture(scope="session")
def voice(tiny):
    return prepare_voice(tiny, reference_audio())


@pytest.fixture(scope="session")
def frontend():
    return SpellingFrontend()


@pytest.fixture(scope="session")
def recording():
    """`recording(seconds, …)` → reference audio."""
    return reference_audio
