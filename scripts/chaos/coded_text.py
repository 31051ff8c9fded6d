"""Texts and voices whose sound says whose it is; what the clients say and what they must hear."""

import re

import numpy as np
from numpy.typing import NDArray

from scripts.chaos.coded_audio import SAMPLE_RATE, Coded, samples_of

SENTENCE = re.compile(r"Request (\d+), part (\d+) of (\d+)[^.]*\.")
CRASH, HANG, SNAG = "CRASH", "HANG", "SNAG"  # in a text: poison; the last where it is joined and encoded
POISON_VOICES = range(60_000, 1 << 16)  # preparing such a recording ends the process at once


def sentence(number: int, part: int, parts: int, *, also: str = "") -> str:
    """One sentence, spoken as one segment."""
    return f"Request {number}, part {part} of {parts}{also and ' ' + also}."


def text_of(number: int, parts: int, *, also: str = "") -> str:
    return " ".join(sentence(number, part, parts, also=also) for part in range(1, parts + 1))


def expected(number: int, parts: int, voice: int) -> list[Coded]:
    """What the sound of `text_of(number, parts)` in this voice must say."""
    return [Coded(number, part, parts, voice) for part in range(1, parts + 1)]


def clip_of(voice: int) -> NDArray[np.float32]:
    """Reference audio of a voice: its number, and a tone so that it is long enough and not silent."""
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = 0.2 * np.sin(2 * np.pi * 220 * t)
    return np.concatenate([samples_of(Coded(0, 0, 0, voice)), tone]).astype(np.float32)
