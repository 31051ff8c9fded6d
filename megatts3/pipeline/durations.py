"""Phones → frames: what the duration LM's tokens become, pauses and all (SPEC 5.4, 5.6, A.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from megatts3.rates import FRAMES_MULTIPLE
from megatts3.text.phones import is_clause_pause, is_sentence_pause

MAX_FRAMES = 127  # the longest phone that a duration token can say
HELD_END_FRAMES = 32  # 320 ms held at the end of a segment that another follows
FINAL_MIN_FRAMES = 64  # the last phone of all lasts 640 ms at least …
FINAL_MAX_FRAMES = 128  # … and 1.28 s at most
SENTENCE_PAUSE_MIN_FRAMES = 64
CLAUSE_PAUSE_MIN_FRAMES = 32
LEADING_SILENCE_FRAMES = 8  # the first phone of all
DISTURBANCE = 0.1  # up to 10 % longer or shorter

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Disturbance:
    """Random factors on durations, one per phone: longer where ``choice`` > 0.5, else shorter.

    choice, amount: (S,) uniform in [0, 1)
    """

    choice: FloatArray
    amount: FloatArray
    strength: float = DISTURBANCE

    @classmethod
    def draw(cls, source: torch.Generator, phones: int, strength: float = DISTURBANCE) -> Self:
        """In the reference's order: all choices, then all amounts."""
        choice = torch.rand((phones,), generator=source).numpy()
        return cls(choice, torch.rand((phones,), generator=source).numpy(), strength)

    def apply(self, durations: FloatArray) -> FloatArray:
        """(S,) → (S,)"""
        factor = np.float32(1.0) + self.amount * np.float32(self.strength)
        disturbed: FloatArray = np.where(self.choice > 0.5, durations * factor, durations / factor)
        return disturbed


def durations_from_tokens(
    tokens: Sequence[int],
    phones: Sequence[int],
    *,
    is_first: bool,
    is_last: bool,
    disturbance: Disturbance | None = None,
    alpha: float = 1.0,
    pause_scale: float = 1.0,
) -> tuple[int, ...]:
    """Durations of one segment's phones, in frames.

    tokens:      (S,) from the duration LM, frames + 1
    phones:      (S,)
    is_first:    the request's first segment: its leading silence is short
    is_last:     the request's last segment: its end is not held for a successor
    alpha:       factor on durations, before the pause rules
    pause_scale: factor on the pause rules' least lengths; 1 in the reference, whatever alpha
    returns:     (S,), the sum a multiple of 8
    """
    frames: FloatArray = np.clip(np.asarray(tokens, dtype=np.float32) - 1, 0, MAX_FRAMES)
    frames[-1] = np.clip(frames[-1], FINAL_MIN_FRAMES, FINAL_MAX_FRAMES) if is_last else frames[-1] + HELD_END_FRAMES
    if disturbance is not None:
        frames = disturbance.apply(frames)
    durations = np.clip(np.rint(frames * np.float32(alpha)), 0, MAX_FRAMES).astype(np.int64)
    floors = np.array([_least_frames(phone) for phone in phones]) * pause_scale
    durations = np.maximum(durations, np.rint(floors).astype(np.int64))
    if is_first:
        durations[0] = LEADING_SILENCE_FRAMES
    durations[-1] += -int(durations.sum()) % FRAMES_MULTIPLE
    return tuple(durations.tolist())


def _least_frames(phone: int) -> int:
    if is_sentence_pause(phone):
        return SENTENCE_PAUSE_MIN_FRAMES
    return CLAUSE_PAUSE_MIN_FRAMES if is_clause_pause(phone) else 0


def frame_to_phone(durations: Sequence[int]) -> IntArray:
    """Index from 1 of the phone at each frame; a phone of no length does not occur. (S,) → (F,)"""
    counts = np.asarray(durations, dtype=np.int64)
    return np.repeat(np.arange(1, len(counts) + 1), counts)


def count_frames(frames: IntArray, phones: int) -> tuple[int, ...]:
    """Inverse of ``frame_to_phone``. (F,) → (S,)"""
    return tuple(np.bincount(frames, minlength=phones + 1)[1:].tolist())


def prompt_tokens(durations: Sequence[int]) -> tuple[int, ...]:
    """Duration tokens of a prompt's phones, as the duration LM is fed with them (SPEC 5.4)."""
    return tuple(min(max(frames, 0), MAX_FRAMES) + 1 for frames in durations)
