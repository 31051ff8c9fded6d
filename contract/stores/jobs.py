"""What is asked of the store of jobs.  Every method is safe from any thread; STORE_UNAVAILABLE when it is away.

Not here: how it is done (redis_jobs.py, memory_jobs.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from contract.errors import ErrorInfo
from contract.last_words import JoinedLast
from contract.schemas import ItemState, Job, JobProgress, JobResult, JobStatus, Priority


@dataclass(frozen=True)
class QueueDepth:
    """Work that waits and work that runs.  Audio seconds are sums of `Job.estimate_s`, to the millisecond."""

    queued_jobs: int = 0
    running_jobs: int = 0
    queued_audio_s: float = 0.0
    queued_interactive_audio_s: float = 0.0
    running_audio_s: float = 0.0
    oldest_queued_at: float | None = None


@dataclass(frozen=True)
class Created:
    """Answer of JobStore.create.

    is_new:   False: a re-send, `job` is the first one
    follows:  an equal job was under way: this one gets what that one gets, and needs no message
    raised:   the job that leads, where it became more urgent: its message is to be sent again
    depth:    of the queues with the new job in them, where it neither follows nor was known
    """

    job: Job
    is_new: bool
    depth: QueueDepth = QueueDepth()
    follows: bool = False
    raised: Job | None = None


def flight(job: Job) -> str | None:
    """What the work of equal jobs is known by while it is under way; None: the job is computed for itself.

    Who wants no cache wants what is made now; the others may be answered from there.
    """
    if job.fingerprint is None:
        return None
    return job.fingerprint if job.request.cache else f"{job.fingerprint}-fresh"


def with_length(job: Job) -> Job:
    """As it is written: its text may be somewhere else."""
    return job if job.written is not None else replace(job, written=len(job.request.text))


@dataclass(frozen=True)
class Claim:
    """A worker's right to a job, until `job.lease_until`.  Every later call needs `token`."""

    job: Job
    token: int


@dataclass(frozen=True)
class Heartbeat:
    """Answer to a heartbeat.  `alive` False: the lease is lost, stop and write nothing."""

    alive: bool
    cancel_requested: bool = False


@dataclass(frozen=True)
class JobFilter:
    """Which jobs of a list are wanted; what is None does not matter.

    created_from, created_before: Unix seconds; at or after the one, before the other
    voice_id: spoken with, be it by one item
    """

    created_from: float | None = None
    created_before: float | None = None
    voice_id: str | None = None
    priority: Priority | None = None

    def has(self, job: Job) -> bool:
        return (
            (self.created_from is None or job.created_at >= self.created_from)
            and (self.created_before is None or job.created_at < self.created_before)
            and (self.voice_id is None or self.voice_id in job.voice_ids)
            and self.priority in {None, job.priority}
        )


@dataclass(frozen=True)
class JobPage:
    jobs: tuple[Job, ...]
    cursor: str | None  # hand back to go on; None at the end


class JobStore(Protocol):
    """The job record and its transitions, each atomic: queued → running → done | failed | cancelled.

    Equal jobs under way share one piece of work, named after the first of them.  One leads and is claimed; the others
    follow, and their records change with the leader's.  A leader that is cancelled hands over to the next.  `claim`,
    `heartbeat`, `finish`, `fail`, `cancelled`, `release` take the work's name, or the id of the job that leads it.
    """

    def create(self, job: Job, *, body_hash: str = "") -> Created:
        """Durably write a queued job, its times stamped by the store; then send its message.

        With `job.idempotency_key` a re-send returns the first job; with another `body_hash` it is a CONFLICT.
        Where an equal job (see `flight`) is under way, this one follows it.
        """
        ...

    def withdraw(self, job_id: str) -> bool:
        """Take back a queued job nobody was told of, as if it had never been; who follows it stays.

        False: it is known to somebody, or under way.
        """
        ...

    def leader(self, work_id: str) -> Job | None:
        """The live job that leads a piece of work; None: it is over."""
        ...

    def keeps_files(self, work_id: str) -> bool:
        """Whether a record is left of those whose files lie under this name."""
        ...

    def get(self, job_id: str) -> Job | None: ...

    def status(self, job_id: str) -> JobStatus | None:
        """Where a job stands, without its text, which may be a book."""
        ...

    def characters(self, job_id: str) -> int | None:
        """How long its text is, or all its items' together, without reading it; None: not there."""
        ...

    def list(
        self,
        *,
        status: JobStatus | None = None,
        owner: str | None = None,
        wanted: JobFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """Newest first.  A page has `limit` jobs that are wanted, but the last; each job is on one page."""
        ...

    def claim(self, job_id: str, *, worker: str, lease_s: float, suspects: bool = True) -> Claim | None:
        """Queued → running, with a lease and a token greater than any before.  None: not to be had.

        suspects False: a job that a worker was lost with before is not to be had either.
        """
        ...

    def heartbeat(self, job_id: str, token: int, *, lease_s: float, progress: JobProgress | None = None) -> Heartbeat:
        """Renew the lease; announces the job when progress was given."""
        ...

    def note_items(self, job_id: str, token: int, states: Mapping[int, ItemState]) -> bool:
        """How some items of a running job now stand; announces the job.  False: the token does not hold it."""
        ...

    def items(self, job_id: str) -> Mapping[int, ItemState]:
        """How the items stand, by index; those that nothing was noted of are not among them."""
        ...

    def finish(self, job_id: str, token: int, result: JobResult) -> bool:
        """Running → done.  False: the token does not hold the job.  A repeat is True and changes nothing."""
        ...

    def fail(self, job_id: str, token: int, error: ErrorInfo) -> bool:
        """Running → failed.  False as in finish.

        A DEADLINE_EXCEEDED is one job's own: followers that have time left are queued again.
        """
        ...

    def cancelled(self, job_id: str, token: int) -> bool:
        """Running → cancelled, said by the worker that stopped.  False as in finish."""
        ...

    def release(self, job_id: str, token: int) -> bool:
        """Running → queued, by a worker that drains; no crash is counted.  The caller sends a new message."""
        ...

    def request_cancel(self, job_id: str) -> Job | None:
        """Queued, or shared with others who go on: cancelled at once.  Running for itself alone: the flag the next
        heartbeat tells.  The job as it then is.
        """
        ...

    def bury(self, worker: str, pid: int, *, joining: Collection[JoinedLast] = ()) -> int:
        """A process is known to have ended: its leases have run out, whatever they say.  How many those were.

        joining: what it was joining; `requeue` counts it
        """
        ...

    def expired(self, limit: int = 100, *, buried_only: bool = False) -> tuple[str, ...]:
        """Ids of running jobs whose lease has run out; buried_only: of those that `bury` ended."""
        ...

    def requeue(self, job_id: str, *, max_attempts: int = 2) -> Job | None:
        """Put a job with an expired lease back, or end it failed(worker_lost) after `max_attempts` claims.

        A claim of a job of several segments counts only while it `is_ending`, else it merely waited; nor do claims
        before the last segment that it got done: they brought it on.

        One whose worker was lost as it joined a segment (see `bury`) is a suspect at that place; lost as it joined
        that alone, it is to blame.

        None: its lease is not expired (another sweeper was first).  The caller sends a new message if queued.
        """
        ...

    def resend_due(self, *, older_than_s: float, limit: int = 100) -> tuple[Job, ...]:
        """Queued jobs nobody claimed for so long that a message may be lost; each told once per period."""
        ...

    def doubt_messages(self, *, older_than_s: float = 0.0, limit: int = 100) -> int:
        """Messages sent so long ago may be lost, with a process that had taken them or with the broker: the first jobs
        of each queue are told of by the next `resend_due`, whatever its period.  How many those are.
        """
        ...

    def outdated(self, limit: int = 100) -> tuple[str, ...]:
        """Ids of jobs that ended longer ago than they are kept: erase their blobs, then delete them."""
        ...

    def delete(self, job_id: str) -> Job | None:
        """Erase an ended job's record; returns it see erase_job for its blobs.  None: not there, or live."""
        ...

    def queue_position(self, job_id: str) -> int | None:
        """Jobs in front of this one (0 is next); None when it does not wait."""
        ...

    def depth(self) -> QueueDepth: ...
