"""One job's segments spread over all workers: want them, wait, take them in order.

The worker that claimed the job plans and joins; who renders is nobody's business but the store's.  A window of
segments is wanted at a time, so that a book does not fill the queue.  What is there already (the job's former
attempt, another job's equal segment, the same text before an edit) is taken as it is.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Priority
from contract.stores.interfaces import BlobStore
from contract.stores.segments import SegmentRecord, SegmentStatus, SegmentStore, WantedSegment
from contract.telemetry import event_log
from megatts3.api import PlannedSegment, Progress, SegmentResult
from megatts3.errors import Cancelled
from worker import segment_audio
from worker.bells import Bells
from worker.manuscript import Line, Manuscript
from worker.segment_times import SegmentTrace, heard, now_unix_s

log = event_log(__name__)

LOOK_AGAIN_S = 1.0  # an announcement may be lost
_TRIES = 3  # times a segment's bytes may turn out to be gone


@dataclass(frozen=True)
class Links:
    """What every fan-out of a process works with.  `wake`: this process's own renderers."""

    segments: SegmentStore
    blobs: BlobStore
    bells: Bells
    wake: Callable[[], None]
    now_s: Callable[[], float]


class FanOut:
    """A job under way; iterate for its segments in order.  A RunningRequest to whoever holds the lease."""

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
    ) -> None:
        """rendered: told of each segment that was made for this job, as it comes."""
        self._links, self._manuscript, self._rendered = links, manuscript, rendered
        self._job_id, self._priority, self._window, self._deadline_at = job_id, priority, window, deadline_at
        self._cancelled = threading.Event()
        self._bell = links.bells.of(job_id)
        self._began_s = links.now_s()
        self._after_s = _when_wanted(manuscript)
        self._asked = 0  # lines wanted so far
        self._records: dict[int, SegmentRecord] = {}  # of the window
        self._done: set[int] = set()
        self.reused = 0  # segments that were there before this job came
        self._wanted_at: dict[int, float] = {}  # Unix seconds

    @property
    def progress(self) -> Progress:
        total, steps = len(self._manuscript.lines), [r.time_step for r in self._manuscript.requests]
        lines = self._manuscript.lines
        done = sum(steps[lines[at].item] for at in tuple(self._done))
        running = sum(r.steps_done for r in tuple(self._records.values()) if r.status is SegmentStatus.RUNNING)
        return Progress(len(self._done), total, done + running, sum(steps[line.item] for line in lines))

    def cancel(self) -> None:
        self._cancelled.set()
        self._bell.set()

    def __iter__(self) -> Iterator[SegmentResult]:
        """Raises Cancelled, and what a segment failed with."""
        try:
            for at, line in enumerate(self._manuscript.lines):
                yield self._result(at, line)
        finally:
            self._links.bells.remove(self._job_id)

    def _result(self, at: int, line: Line) -> SegmentResult:
        for _ in range(_TRIES):
            record = self._wait_for(at)
            try:
                assert record.blob is not None
                data = self._links.blobs.get(record.blob)
            except KeyError:
                log.warning("segment_missing", job=self._job_id, segment=record.key)  # erased by hand: made again
                self._links.segments.forget(record.key)
                self._records[at] = self._want([at])[0]
                self._done.discard(at)
                continue
            self._records.pop(at, None)
            trace = heard(record.about, index=at, worker=record.worker, wanted_at=self._wanted_at[at])
            if trace is not None:
                self._rendered(trace)
            return _spoken(record, line, data)
        raise ServiceError(ErrorCode.SYNTHESIS_FAILED, "a segment's audio cannot be kept")

    def _wait_for(self, at: int) -> SegmentRecord:
        while True:
            self._bell.clear()
            self._stop_if_told()
            self._keep_asking(at)
            record = self._records[at]
            if record.status is SegmentStatus.DONE:
                return record
            if record.status is SegmentStatus.FAILED:
                assert record.error is not None
                raise ServiceError(record.error.code, record.error.detail)
            self._bell.wait(LOOK_AGAIN_S)
            self._look()

    def _stop_if_told(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled(self._job_id)
        if self._deadline_at is not None and self._links.now_s() >= self._deadline_at:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)

    def _keep_asking(self, at: int) -> None:
        """Want further segments once half of the window is used up."""
        lines = self._manuscript.lines
        if self._asked - at > self._window // 2 or self._asked == len(lines):
            return
        more = range(self._asked, min(len(lines), at + self._window))
        found = self._want(more)
        self._asked = more.stop
        self.reused += sum(r.status is SegmentStatus.DONE and r.job_id != self._job_id for r in found)

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
