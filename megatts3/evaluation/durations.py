"""How far the planned durations lie from the teacher's, phone by phone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megatts3.checkpoint import Networks
from megatts3.pipeline.plan import duration_prompt, plan_segment, segment_generator
from megatts3.pipeline.voice import VoicePrompt
from megatts3.rates import FRAME_RATE
from megatts3.sampling.params import SamplingParams
from megatts3.text.phones import is_speech
from megatts3.training.data import Entry


@dataclass(frozen=True)
class DurationErrors:
    """Over the spoken phones of one sentence; pauses follow rules (SPEC 5.6) and say nothing."""

    phones: int
    absolute_ms: float  # summed
    planned_s: float
    teacher_s: float


@dataclass(frozen=True)
class _Given:
    """A segment whose phones are known."""

    text: str
    phones: tuple[int, ...]
    tones: tuple[int, ...]


def duration_errors(networks: Networks, target: Entry, voice: VoicePrompt, params: SamplingParams) -> DurationErrors:
    """Plan the teacher's own phones; the plan's random tenth (SPEC 5.6) is in the figure."""
    given = _Given(target.text, tuple(target.phones.tolist()), tuple(target.tones.tolist()))
    draws = segment_generator(params.seed, 0)
    planned = plan_segment(networks, duration_prompt(networks, voice), given, 0, 1, params, draws)
    spoken = np.array([is_speech(phone) for phone in given.phones])
    mine, theirs = np.array(planned.durations)[spoken], target.durations[spoken]
    return DurationErrors(
        phones=int(spoken.sum()),
        absolute_ms=float(np.abs(mine - theirs).sum()) * 1000 / FRAME_RATE,
        planned_s=float(mine.sum()) / FRAME_RATE,
        teacher_s=float(theirs.sum()) / FRAME_RATE,
    )
