"""What is asked of the store of segments: work that any worker may take, and finished work to be used again.

A job of several segments wants each under a key made of its content, so that equal segments of two jobs are
rendered once, and a segment that is known already is not rendered at all.  A segment is
queued → running → done | failed, each change atomic, under a lease and a fencing token as a job is.
Not here: how it is done (redis_segments.py, memory_segments.py); the bytes, which are a blob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Protocol

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Priority

OWN = "own-"  # a key that begins so is one job's alone: never shared, gone with the job
QUARANTINE_S = 900.0  # a segment that took down its workers fails at once for so long, whoever wants it
LOST = ErrorInfo(ErrorCode.WORKER_LOST, "one segment took its worker down again and again")


@unique
class SegmentStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class WantedSegment:
    """One segment of a job.  `index`: its place in the job's manuscript;  `after_s`: when its sound is wanted,
    in seconds from now: whose is wanted sooner goes first.
    """

    key: str
    index: int
    after_s: float = 0.0
    voice_id: str = ""


@dataclass(frozen=True)
class SegmentRecord:
    """A segment as it is.  `job_id` and `index` say in whose manuscript it stands.  Times are Unix seconds."""

    key: str
    status: SegmentStatus
    job_id: str
    index: int
    priority: Priority = Priority.INTERACTIVE
    attempts: int = 0
    token: int = 0
    worker: str | None = None
    steps_done: int = 0
    error: ErrorInfo | None = None
    blob: str | None = None
    size_bytes: int = 0
    about: Mapping[str, object] = field(default_factory=dict)  # the worker's own: how it was planned

    @property
    def is_over(self) -> bool:
        return self.status in {SegmentStatus.DONE, SegmentStatus.FAILED}


@dataclass(frozen=True)
class RunningSegment:
    """What a worker says of a segment it renders."""

    key: str
    token: int
    steps_done: int = 0


@dataclass(frozen=True)
class Recovered:
    """Segments whose lease ran out: queued again, or failed for good."""

    requeued: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentStats:
    queued: int = 0
    running: int = 0
    kept: int = 0  # finished ones, ready to be used again
    size_bytes: int = 0  # of those
    rendered: int = 0  # so far, by all workers


class SegmentStore(Protocol):
    """Every method is safe from any thread; STORE_UNAVAILABLE when the store is away."""

    def want(self, job_id: str, priority: Priority, segments: Sequence[WantedSegment]) -> tuple[SegmentRecord, ...]:
        """Say that a job wants these; each as it then is: done already, running for another, or queued."""
        ...

    def read(self, keys: Sequence[str]) -> tuple[SegmentRecord | None, ...]:
        """Each as it is; None: not there."""
        ...

    def claim(self, *, worker: str, lease_s: float, batch: bool = True) -> SegmentRecord | None:
        """The segment whose sound is wanted soonest, interactive before batch; queued → running.

        batch False: interactive ones only.  Never one that a worker was lost with before.
        """
        ...

    def claim_suspect(self, *, worker: str, lease_s: float) -> SegmentRecord | None:
        """The same of those that a worker was lost with before."""
        ...

    def has_suspects(self) -> bool:
        """Whether one of those waits."""
        ...

    def renew(self, running: Sequence[RunningSegment], *, lease_s: float) -> tuple[str, ...]:
        """Renew leases.  Answers the keys to stop: the lease is lost, or nobody wants the segment any more."""
        ...

    def finish(self, key: str, token: int, *, blob: str, size_bytes: int, about: Mapping[str, object]) -> bool:
        """Running → done.  False: the token does not hold it, and its blob is nobody's.  A repeat is True."""
        ...

    def fail(self, key: str, token: int, error: ErrorInfo) -> bool:
        """Running → failed.  Who wants it later tries anew, but for a quarantined one."""
        ...

    def release(self, key: str, token: int) -> bool:
        """Give a segment back unfinished: queued again, or gone when nobody wants it.  No crash is counted."""
        ...

    def leave(self, job_id: str) -> tuple[str, ...]:
        """The job wants nothing any more.  What nobody wants stops; answers blobs that are to be erased."""
        ...

    def wanting(self) -> tuple[str, ...]:
        """Jobs that want segments: those that ended meanwhile have to `leave`."""
        ...

    def bury(self, worker: str, pid: int) -> int:
        """A process is known to have ended: its leases have run out, whatever they say.  How many those were."""
        ...

    def recover(self, *, max_attempts: int = 2, limit: int = 100, buried_only: bool = False) -> Recovered:
        """Queue segments whose lease ran out again; fail those that were claimed `max_attempts` times.

        buried_only: of those leases that `bury` ended.
        """
        ...

    def forget(self, key: str) -> None:
        """Drop a finished segment whose blob turned out to be gone."""
        ...

    def trim(self, *, max_bytes: int, older_than_s: float, limit: int = 200) -> tuple[str, ...]:
        """Forget finished segments nobody wants, least recently used first: those unused for so long, and as
        many as are too many.  Answers their blobs, to be erased.
        """
        ...

    def delete_voice(self, voice_id: str) -> tuple[str, ...]:
        """Forget every finished segment made with a voice.  Answers their blobs, to be erased."""
        ...

    def stats(self) -> SegmentStats: ...
