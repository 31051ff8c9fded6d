"""When a segment of a job was where: noted by the worker that rendered it, told by the one that joins.

Engines count on clocks of their own; what travels with a segment's record is Unix seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from contract.tracing import unix_of
from megatts3.api import SegmentTimes

FIELD = "times"  # of a segment record's `about`


@dataclass(frozen=True)
class SegmentTrace:
    """One rendered segment.  Unix seconds."""

    index: int
    worker: str
    wanted_at: float
    claimed_at: float
    prepare_from: float
    prepare_to: float
    steps_from: float
    steps_to: float
    decode_to: float

    def stages(self) -> Iterator[tuple[str, float, float]]:
        """Name, beginning and end, in order; `queue` is until a worker took it."""
        yield "queue", self.wanted_at, self.claimed_at
        yield "prepare", self.prepare_from, self.prepare_to
        yield "steps", self.steps_from, self.steps_to
        yield "decode", self.steps_to, self.decode_to


def now_unix_s() -> float:
    return time.time()


def told(times: SegmentTimes | None, *, claimed_at: float) -> dict[str, object]:
    """For the record's `about`; nothing where the engine does not say."""
    if times is None:
        return {}
    moments = (times.prepare_from, times.prepare_to, times.steps_from, times.steps_to, times.decode_to)
    to_unix = unix_of(0.0)  # once for all of them: the two clocks are never read at the same moment
    return {FIELD: [claimed_at, *(round(to_unix + moment, 6) for moment in moments)]}


def heard(about: Mapping[str, object], *, index: int, worker: str | None, wanted_at: float) -> SegmentTrace | None:
    """None where nothing was told, and where the segment had been rendered before this job wanted it."""
    moments = about.get(FIELD)
    if not isinstance(moments, list) or len(moments) != 6 or moments[-1] < wanted_at:
        return None
    return SegmentTrace(index, worker or "", wanted_at, *moments)
