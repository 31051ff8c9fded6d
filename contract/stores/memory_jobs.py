"""The in-memory twin of the job store: the state machine in plain Python, under one lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import Job, JobProgress, JobResult, JobStatus, Priority
from contract.stores.cursor import decode, encode
from contract.stores.interfaces import (
    CANCELLING,
    Claim,
    Created,
    Event,
    EventKind,
    Events,
    Heartbeat,
    JobPage,
    QueueDepth,
)
from contract.stores.memory_webhooks import MemoryWebhookStore

LOST = ErrorInfo(ErrorCode.WORKER_LOST, "the worker was lost again and again")


@dataclass(frozen=True)
class _FirstSubmission:
    job_id: str
    body_hash: str
    expires_at: float


class MemoryJobStore:
    """See interfaces.JobStore.  Mutable inside; every change under `_lock`."""

    def __init__(
        self,
        events: Events,
        *,
        clock: Callable[[], float],
        keep_s: float,
        idempotency_keep_s: float,
        webhooks: MemoryWebhookStore | None = None,
    ) -> None:
        self._events, self._webhooks = events, webhooks
        self._clock = clock
        self._keep_s = keep_s
        self._idempotency_keep_s = idempotency_keep_s
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._first: dict[tuple[str, str], _FirstSubmission] = {}
        self._sent_at: dict[str, float] = {}
        self._done_at_crash: dict[str, int] = {}
        self._pids: dict[str, int] = {}
        self._last_token = 0

    def create(self, job: Job, *, share: bool = True, body_hash: str = "") -> Created:
        with self._lock:
            now_s = self._clock()
            if job.id in self._jobs:
                # Ids are random: our own call, repeated.
                return Created(self._jobs[job.id], is_new=True, depth=self.depth())
            known = self._known(job, share=share, body_hash=body_hash)
            if known is not None:
                return Created(known, is_new=False, depth=self.depth())
            job = replace(job, status=JobStatus.QUEUED, created_at=now_s, queued_at=now_s)
            self._sent_at[job.id] = now_s
            if job.idempotency_key:
                first = _FirstSubmission(job.id, body_hash, now_s + self._idempotency_keep_s)
                self._first[job.owner or "", job.idempotency_key] = first
            return Created(self._write(job), is_new=True, depth=self.depth())

    def _known(self, job: Job, *, share: bool, body_hash: str) -> Job | None:
        first = self._first.get((job.owner or "", job.idempotency_key or ""))
        if job.idempotency_key and first is not None and first.expires_at > self._clock():
            if first.body_hash != body_hash:
                raise ServiceError(ErrorCode.CONFLICT, "this Idempotency-Key was used with another body")
            known = self.get(first.job_id)
            if known is not None:
                return known
        if not share or job.fingerprint is None:
            return None
        live = (j for j in self._jobs.values() if not j.status.is_terminal and not j.cancel_requested)
        return next((j for j in live if j.fingerprint == job.fingerprint), None)

    def get(self, job_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job_id)

    def status(self, job_id: str) -> JobStatus | None:
        job = self.get(job_id)
        return None if job is None else job.status

    def list(
        self,
        *,
        status: JobStatus | None = None,
        owner: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        with self._lock:
            found = sorted(self._jobs.values(), key=lambda j: (j.created_at, j.id), reverse=True)
        found = [j for j in found if status in {None, j.status} and owner in {None, j.owner}]
        if cursor is not None:
            before = decode(cursor)
            found = [j for j in found if (j.created_at, j.id) < before]
        page = tuple(found[:limit])
        more = len(found) > limit
        return JobPage(page, encode(page[-1]) if more else None)

    def claim(self, job_id: str, *, worker: str, lease_s: float, suspects: bool = True) -> Claim | None:
        with self._lock:
            job = self.get(job_id)
            if job is None or job.status is not JobStatus.QUEUED or (job.attempts and not suspects):
                return None
            now_s = self._clock()
            self._last_token += 1
            self._sent_at.pop(job_id, None)
            self._pids[job_id] = os.getpid()
            job = replace(
                job,
                status=JobStatus.RUNNING,
                token=self._last_token,
                attempts=job.attempts + 1,
                worker=worker,
                started_at=now_s,
                lease_until=now_s + lease_s,
                progress=JobProgress(),
            )
            return Claim(self._write(job), self._last_token)

    def heartbeat(self, job_id: str, token: int, *, lease_s: float, progress: JobProgress | None = None) -> Heartbeat:
        with self._lock:
            job = self._held(job_id, token)
            if job is None:
                return Heartbeat(alive=False)
            job = replace(job, lease_until=self._clock() + lease_s, progress=progress or job.progress)
            self._write(job, announce=progress is not None)
            return Heartbeat(alive=True, cancel_requested=job.cancel_requested)

    def finish(self, job_id: str, token: int, result: JobResult) -> bool:
        return self._end(job_id, token, JobStatus.DONE, result=result)

    def fail(self, job_id: str, token: int, error: ErrorInfo) -> bool:
        return self._end(job_id, token, JobStatus.FAILED, error=error)

    def cancelled(self, job_id: str, token: int) -> bool:
        return self._end(job_id, token, JobStatus.CANCELLED)

    def release(self, job_id: str, token: int) -> bool:
        with self._lock:
            job = self._held(job_id, token)
            if job is None:
                return False
            self._put_back(replace(job, attempts=job.attempts - 1))
            return True

    def request_cancel(self, job_id: str) -> Job | None:
        with self._lock:
            job = self.get(job_id)
            if job is None or job.status.is_terminal:
                return job
            job = replace(job, cancel_requested=True)
            if job.status is JobStatus.QUEUED:
                job = replace(job, status=JobStatus.CANCELLED, finished_at=self._clock())
                self._sent_at.pop(job_id, None)
                return self._write(job)
            self._write(job, announce=False)
            self._events.publish(Event(EventKind.JOB, job.id, CANCELLING))
            return job

    def bury(self, worker: str, pid: int) -> int:
        with self._lock:
            held = [j for j in self._jobs.values() if j.status is JobStatus.RUNNING and j.worker == worker]
            held = [j for j in held if self._pids[j.id] == pid]
            self._jobs |= {j.id: replace(j, lease_until=0.0) for j in held}
            return len(held)

    def expired(self, limit: int = 100, *, buried_only: bool = False) -> tuple[str, ...]:
        with self._lock:
            lost = [j for j in self._jobs.values() if self._is_expired(j) and not (buried_only and j.lease_until)]
        lost.sort(key=lambda j: j.lease_until or 0.0)
        return tuple(j.id for j in lost[:limit])

    def requeue(self, job_id: str, *, max_attempts: int = 2) -> Job | None:
        with self._lock:
            job = self.get(job_id)
            if job is None or not self._is_expired(job):
                return None
            if job.cancel_requested:
                return self._write(self._ended(job, JobStatus.CANCELLED))
            if job.progress.segments_done > self._done_at_crash.get(job_id, 0):
                self._done_at_crash[job_id] = job.progress.segments_done
                job = replace(job, attempts=1)
            if job.attempts >= max_attempts:
                return self._write(replace(self._ended(job, JobStatus.FAILED), error=LOST))
            return self._put_back(job)

    def resend_due(self, *, older_than_s: float, limit: int = 100) -> tuple[Job, ...]:
        with self._lock:
            now_s = self._clock()
            due = [i for i, sent_at in self._sent_at.items() if sent_at <= now_s - older_than_s][:limit]
            self._sent_at.update(dict.fromkeys(due, now_s))
            return tuple(self._jobs[i] for i in due)

    def delete(self, job_id: str) -> Job | None:
        with self._lock:
            job = self.get(job_id)
            if job is None or not job.status.is_terminal:
                return None
            self._events.publish(Event(EventKind.JOB, job_id, "deleted"))
            return self._jobs.pop(job_id)

    def outdated(self, limit: int = 100) -> tuple[str, ...]:
        end = self._clock() - self._keep_s
        with self._lock:
            old = [j for j in self._jobs.values() if j.finished_at is not None and j.finished_at <= end]
        old.sort(key=lambda j: j.finished_at or 0.0)
        return tuple(j.id for j in old[:limit])

    def queue_position(self, job_id: str) -> int | None:
        with self._lock:
            queued = [j for j in self._jobs.values() if j.status is JobStatus.QUEUED]
        queued.sort(key=lambda j: (j.priority is not Priority.INTERACTIVE, j.queued_at, j.id))
        return next((n for n, j in enumerate(queued) if j.id == job_id), None)

    def depth(self) -> QueueDepth:
        with self._lock:
            queued = [j for j in self._jobs.values() if j.status is JobStatus.QUEUED]
            running = [j for j in self._jobs.values() if j.status is JobStatus.RUNNING]
        interactive = [j for j in queued if j.priority is Priority.INTERACTIVE]
        return QueueDepth(
            queued_jobs=len(queued),
            running_jobs=len(running),
            queued_audio_s=_audio_s(queued),
            queued_interactive_audio_s=_audio_s(interactive),
            running_audio_s=_audio_s(running),
            oldest_queued_at=min((j.queued_at for j in queued), default=None),
        )

    def _held(self, job_id: str, token: int) -> Job | None:
        """The job, if this token still holds it.  A late heartbeat saves a lease that nobody swept yet."""
        job = self._jobs.get(job_id)
        return job if job and job.status is JobStatus.RUNNING and job.token == token else None

    def _end(
        self,
        job_id: str,
        token: int,
        status: JobStatus,
        *,
        result: JobResult | None = None,
        error: ErrorInfo | None = None,
    ) -> bool:
        with self._lock:
            job = self._held(job_id, token)
            if job is None:
                known = self._jobs.get(job_id)
                return known is not None and (known.token, known.status) == (token, status)
            self._write(replace(self._ended(job, status), result=result, error=error))
            return True

    def _ended(self, job: Job, status: JobStatus) -> Job:
        return replace(job, status=status, finished_at=self._clock(), lease_until=None)

    def _put_back(self, job: Job) -> Job:
        now_s = self._clock()
        self._sent_at[job.id] = now_s
        return self._write(
            replace(
                job,
                status=JobStatus.QUEUED,
                queued_at=now_s,
                lease_until=None,
                worker=None,
                progress=JobProgress(),
            )
        )

    def _is_expired(self, job: Job) -> bool:
        lease_until = job.lease_until
        return job.status is JobStatus.RUNNING and lease_until is not None and lease_until <= self._clock()

    def _write(self, job: Job, *, announce: bool = True) -> Job:
        self._jobs[job.id] = job
        if job.status.is_terminal and job.webhook_url and self._webhooks is not None:
            self._webhooks.add(job.id)  # a job is written as ended once
        if announce:
            self._events.publish(Event(EventKind.JOB, job.id, job.status))
        return job


def _audio_s(jobs: list[Job]) -> float:
    return sum(round(j.estimate_s * 1000) for j in jobs) / 1000
