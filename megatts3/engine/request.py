"""What is asked of the engine and what it answers.  Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from megatts3.audio.waveform import Waveform
    from megatts3.pipeline.plan import Phonemized, PlannedSegment
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.params import SamplingParams


class Priority(Enum):
    """Whoever waits for an interactive request goes before any batch request, at every step."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True, eq=False)
class Passage:
    """Segments that were read already, at their place in a longer text.

    They sound as they would within the whole: a segment's noise and its edges depend on its place.
    first: index of the first of them in the whole text;  count: segments of the whole text
    """

    segments: Sequence[Phonemized]
    first: int
    count: int


@dataclass(frozen=True, eq=False)
class SynthesisRequest:
    """A text to speak.  Carries everything that belongs to it; the engine keeps nothing of a voice.

    request_id: unique among the requests in the engine
    deadline_s: on the engine's clock; past it the request fails with DeadlineExceeded
    passage:    what to speak instead of reading `text`
    client:     whose request it is; a client's requests queue behind one another, "" is nobody in particular
    """

    request_id: str
    text: str
    voice: VoicePrompt
    params: SamplingParams
    deadline_s: float | None = None
    priority: Priority = Priority.INTERACTIVE
    passage: Passage | None = None
    client: str = ""


@dataclass(frozen=True)
class SegmentTimes:
    """When a segment was where, on the engine's clock: being prepared, between its first and last step, decoded."""

    prepare_from: float
    prepare_to: float
    steps_from: float
    steps_to: float
    decode_to: float


@dataclass(frozen=True, eq=False)
class SegmentResult:
    """Segment `index` of `count`, spoken.  Segments are joined with audio/join.py.

    planned_s: how long the plan said it would last
    planned:   the plan itself, for the times of its words
    times:     when it was where, for those who look for what takes so long
    """

    index: int
    count: int
    waveform: Waveform
    text: str
    planned_s: float = 0.0
    planned: PlannedSegment | None = None
    times: SegmentTimes | None = None


@dataclass(frozen=True)
class Progress:
    """How far a request is."""

    segments_done: int
    segments_total: int
    steps_done: int
    steps_total: int
