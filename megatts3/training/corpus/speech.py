"""What a teacher says, and how it becomes a training utterance.

`Spoken` is the teacher's own: native rate, phones with end times.  `Utterance` is the model's: 24 kHz, whole duration
frames, one leading `sil`, and pauses as long as the duration rules will make them (SPEC 5.6).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from megatts3.rates import FRAME_RATE, SAMPLE_RATE
from megatts3.text import phones

_HOP = SAMPLE_RATE // FRAME_RATE
_FRAMES_MULTIPLE = 8
_MAX_PHONE_FRAMES = 127  # duration classes of the duration LM
_LEADING_SILENCE_FRAMES = (6, 10)
_SENTENCE_PAUSE_FRAMES = (64, 96)
_CLAUSE_PAUSE_FRAMES = (32, 52)
_TARGET_RMS = 0.09
_PEAK = 0.95

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class TimedPhone:
    """A phone, its tone id, and when it ends, in seconds from the start of the clip."""

    phone: int
    tone: int
    end_s: float


@dataclass(frozen=True)
class Spoken:
    """One clip of a teacher.  samples: (L,) at `sample_rate`."""

    samples: Samples
    sample_rate: int
    phones: tuple[TimedPhone, ...]


@dataclass(frozen=True)
class Utterance:
    """One training utterance.  samples: (L,) at 24 kHz, L = 240 · sum(durations), a multiple of 8 frames."""

    samples: Samples
    phones: tuple[int, ...]
    tones: tuple[int, ...]
    durations: tuple[int, ...]  # frames of 10 ms


class Unusable(Exception):
    """The teacher's phones do not match the text, or a phone is too long or too short to learn from."""


def utterance(spoken: Spoken, *, ratio: float, rng: random.Random) -> Utterance:
    """Shift the voice by `ratio` (pitch and formants rise with it), then cut, pad and count in frames."""
    samples = soxr.resample(spoken.samples, spoken.sample_rate * ratio, SAMPLE_RATE, quality="HQ")
    samples = _level(samples.astype(np.float32))
    ends = [round(p.end_s / ratio * FRAME_RATE) for p in spoken.phones]
    pieces: list[Samples] = []
    durations: list[int] = []
    start = 0
    for position, (timed, end) in enumerate(zip(spoken.phones, ends, strict=True)):
        piece = samples[start * _HOP : end * _HOP]
        frames = _frames(timed.phone, end - start, is_first=position == 0, rng=rng)
        if position == len(ends) - 1:
            frames += -(sum(durations) + frames) % _FRAMES_MULTIPLE
        pieces.append(_fit(piece, frames * _HOP, keep_end=position == 0))
        durations.append(frames)
        start = end
    if min(durations) < 1 or max(durations) > _MAX_PHONE_FRAMES:
        raise Unusable(f"phone of {min(durations)} or {max(durations)} frames")
    return Utterance(
        np.concatenate(pieces),
        tuple(p.phone for p in spoken.phones),
        tuple(p.tone for p in spoken.phones),
        tuple(durations),
    )


def _frames(phone: int, spoken_frames: int, *, is_first: bool, rng: random.Random) -> int:
    if is_first:
        return rng.randint(*_LEADING_SILENCE_FRAMES)
    if phones.is_sentence_pause(phone):
        return rng.randint(*_SENTENCE_PAUSE_FRAMES)
    if phones.is_clause_pause(phone):
        return rng.randint(*_CLAUSE_PAUSE_FRAMES)
    return spoken_frames


def _fit(piece: Samples, length: int, *, keep_end: bool) -> Samples:
    """Cut or zero-pad a pause to `length` samples: at its start before speech, else in its middle."""
    if len(piece) == length:
        return piece
    if keep_end:
        return np.concatenate([np.zeros(max(0, length - len(piece)), np.float32), piece[-length:]])
    half = min(len(piece), length) // 2
    gap = np.zeros(length - 2 * half, np.float32)
    return np.concatenate([piece[:half], gap, piece[len(piece) - half :]])


def _level(samples: Samples) -> Samples:
    loud = samples[np.abs(samples) > 0.02 * np.abs(samples).max()]
    gain = _TARGET_RMS / float(np.sqrt(np.mean(loud**2)))
    leveled: Samples = np.clip(samples * np.float32(gain), -_PEAK, _PEAK)
    return leveled


def pause_phones(marks: Sequence[str]) -> list[int]:
    """Phones of punctuation marks, in the order they stand in a sentence."""
    found = [phones.punctuation_phone(mark) for mark in marks]
    return [phone for phone in found if phone is not None]
