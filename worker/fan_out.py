"""One job's segments spread over all workers: want them, and take them in order as they are there.

The worker that claimed the job plans and joins; who renders is nobody's business but the store's.  A window of
segments is wanted at a time, so that a book does not fill the queue.  What is there already (the job's former
attempt, another job's equal segment, the same text before an edit) is taken as it is.  Nothing here waits: whoever
joins is woken (joiners.py) and asks again.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import Priority
from contract.stores.interfaces import BlobStore
from contract.stores.segments import SegmentRecord, SegmentStatus, SegmentStore, WantedSegment
from contract.telemetry import event_log
from megatts3.api import PlannedSegment, Progress, SegmentResult
from megatts3.errors import Cancelled
from worker import segment_audio
from worker.manuscript import Line, Manuscript
from worker.segment_times import SegmentTrace, heard, now_unix_s

log = event_log(__name__)

_TRIES = 3  # times a segment's bytes may turn out to be gone
_GONE = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "a segment's audio cannot be kept")


@dataclass(frozen=True)
class Links:
    """What every fan-out of a process works with.  `wake`: this process's renderers;  `ring`: who joins a job."""

    segments: SegmentStore
    blobs: BlobStore
    wake: Callable[[], None]
    ring: Callable[[str], None]
    now_s: Callable[[], float]


@dataclass(frozen=True)
class Taken:
    """The next segment of an item.  reused: it was there before this job came;  place: in the manuscript."""

    item: int
    segment: SegmentResult
    reused: bool
    place: int


@dataclass(frozen=True)
class Failed:
    """An item that will have no further segments."""

    item: int
    error: ErrorInfo


class FanOut:
    """A job under way, used by one thread at a time; `cancel` and `progress` may be called by others.

    A RunningRequest to whoever holds the lease.
    """

    def __init__(
        self,
        links: Links,
        manuscript: Manuscript,
        *,
        job_id: str,
        priority: Priority,
        window: int,
        deadline_at: float | None = None,
        rendered: Callable[[SegmentTrace], None] = lambda _: None,
        skip: Collection[int] = (),
    ) -> None:
        """rendered: told of each segment that was made for this job, as it comes;  skip: items that are over."""
        self._links, self._manuscript, self._rendered = links, manuscript, rendered
        self._job_id, self._priority, self._window, self._deadline_at = job_id, priority, window, deadline_at
        self._cancelled = threading.Event()
        self._began_s = links.now_s()
        self._after_s = _when_wanted(manuscript)
        self._over = set(skip)  # items
        self._left = [at for at, line in enumerate(manuscript.lines) if line.item not in self._over]  # not yet wanted
        self._left.reverse()  # so that the next one is the last
        self._next: dict[int, list[int]] = {}  # places of an item that were wanted and not taken, in order
        self._records: dict[int, SegmentRecord] = {}  # of the window
        self._untaken = dict.fromkeys(range(len(manuscript.requests)), 0)  # lines of each
        for line in manuscript.lines:
            self._untaken[line.item] += 1
        self._done: set[int] = set()
        self._reused: set[int] = set()
        self._missing: dict[int, int] = {}  # how often a place's bytes were gone
        self._wanted_at: dict[int, float] = {}  # Unix seconds
        self._is_stale = False  # records may have changed since they were read

    @property
    def progress(self) -> Progress:
        total, steps = len(self._manuscript.lines), [r.time_step for r in self._manuscript.requests]
        lines = self._manuscript.lines
        done = sum(steps[lines[at].item] for at in tuple(self._done))
        running = sum(r.steps_done for r in tuple(self._records.values()) if r.status is SegmentStatus.RUNNING)
        return Progress(len(self._done), total, done + running, sum(steps[line.item] for line in lines))

    @property
    def is_over(self) -> bool:
        """Every item's segments were taken, or it failed."""
        return not self._left and not self._next

    def cancel(self) -> None:
        self._cancelled.set()
        self._links.ring(self._job_id)

    def take(self, limit: int) -> list[Taken | Failed]:
        """What is there now, at most so much of it.  Raises Cancelled and DEADLINE_EXCEEDED."""
        self._stop_if_told()
        self._keep_asking()
        if self._is_stale:
            self._look()
        self._is_stale = True
        found: list[Taken | Failed] = []
        for item in list(self._next):
            while item in self._next and len(found) < limit:
                one = self._one(item)
                if one is None:
                    break
                found.append(one)
        if found:
            self._keep_asking()
            self._is_stale = len(found) < limit
        return found

    def drop(self, item: int) -> None:
        """Nothing more of an item is wanted."""
        self._over.add(item)
        for at in self._next.pop(item, ()):
            self._records.pop(at, None)
        self._left = [at for at in self._left if self._manuscript.lines[at].item != item]

    def _one(self, item: int) -> Taken | Failed | None:
        if not self._next[item]:  # more of it are to be wanted
            return None
        at = self._next[item][0]
        record = self._records[at]
        if record.status is SegmentStatus.FAILED:
            assert record.error is not None
            self.drop(item)
            return Failed(item, record.error)
        if record.status is not SegmentStatus.DONE:
            return None
        try:
            assert record.blob is not None
            data = self._links.blobs.get(record.blob)
        except KeyError:
            return self._again(item, at, record)
        line = self._manuscript.lines[at]
        self._next[item].pop(0)
        self._records.pop(at)
        self._untaken[item] -= 1
        if not self._next[item] and not self._untaken[item]:
            del self._next[item]
        trace = heard(record.about, index=at, worker=record.worker, wanted_at=self._wanted_at[at])
        if trace is not None:
            self._rendered(trace)
        return Taken(item, _spoken(record, line, data), at in self._reused, at)

    def _again(self, item: int, at: int, record: SegmentRecord) -> Failed | None:
        log.warning("segment_missing", job=self._job_id, segment=record.key)  # erased by hand: made again
        self._missing[at] = self._missing.get(at, 0) + 1
        if self._missing[at] >= _TRIES:
            self.drop(item)
            return Failed(item, _GONE)
        self._links.segments.forget(record.key)
        self._done.discard(at)
        self._want([at])
        return None

    def _stop_if_told(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled(self._job_id)
        if self._deadline_at is not None and self._links.now_s() >= self._deadline_at:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)

    def _keep_asking(self) -> None:
        """Want further segments once half of the window is used up."""
        if len(self._records) > self._window // 2 or not self._left:
            return
        count = min(len(self._left), self._window - len(self._records))
        more = [self._left.pop() for _ in range(count)]
        for at in more:
            self._next.setdefault(self._manuscript.lines[at].item, []).append(at)
        found = self._want(more)
        self._reused |= {
            at for at, r in zip(more, found, strict=True) if r.status is SegmentStatus.DONE and r.job_id != self._job_id
        }

    def _want(self, places: Sequence[int]) -> tuple[SegmentRecord, ...]:
        spent_s = self._links.now_s() - self._began_s
        lines, voices = self._manuscript.lines, [r.voice_id for r in self._manuscript.requests]
        wanted = [
            WantedSegment(lines[n].key, n, round(self._after_s[n] - spent_s, 3), voices[lines[n].item]) for n in places
        ]
        for place in places:
            self._wanted_at.setdefault(place, now_unix_s())
        found = self._links.segments.want(self._job_id, self._priority, wanted)
        for place, record in zip(places, found, strict=True):
            self._note(place, record)
        if any(record.status is SegmentStatus.QUEUED for record in found):
            self._links.wake()
        return found

    def _look(self) -> None:
        """Read what is not over yet."""
        places = [place for place, record in self._records.items() if not record.is_over]
        found = self._links.segments.read([self._records[place].key for place in places])
        for place, record in zip(places, found, strict=True):
            if record is None:  # somebody emptied the store
                self._want([place])
            else:
                self._note(place, record)

    def _note(self, place: int, record: SegmentRecord) -> None:
        self._records[place] = record
        if record.status is SegmentStatus.DONE:
            self._done.add(place)


def _when_wanted(manuscript: Manuscript) -> list[float]:
    """Seconds after the first sound until each line's own."""
    found, after_s = [], 0.0
    for line in manuscript.lines:
        found.append(after_s)
        after_s += line.seconds(manuscript.requests[line.item].speed)
    return found


def _spoken(record: SegmentRecord, line: Line, data: bytes) -> SegmentResult:
    about, segment = record.about, line.segment
    durations = about.get("durations")
    planned = None
    if isinstance(durations, list):
        pitch = about.get("pitch", 1.0)
        assert isinstance(pitch, int | float)
        planned = PlannedSegment(line.index, segment.text, segment.phones, segment.tones, tuple(durations), pitch)
    planned_s = about.get("planned_s", 0.0)
    assert isinstance(planned_s, int | float)
    return SegmentResult(line.index, line.count, segment_audio.from_blob(data), segment.text, float(planned_s), planned)
