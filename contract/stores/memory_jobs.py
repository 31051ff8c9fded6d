"""The in-memory twin of the job store: the state machine in plain Python, under one lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from contract.errors import ErrorCode, ErrorInfo
from contract.last_words import JoinedLast
from contract.schemas import ItemState, Job, JobProgress, JobResult, JobStatus, Priority
from contract.stores.interfaces import CANCELLING, Event, EventKind, Events
from contract.stores.jobs import Claim, Created, Heartbeat, JobFilter, JobPage, QueueDepth, flight, with_length
from contract.stores.memory_listing import page_of
from contract.stores.memory_sharing import RAISES, Shared, like
from contract.stores.memory_submissions import FirstSubmissions
from contract.stores.memory_webhooks import MemoryWebhookStore

LOST = ErrorInfo(ErrorCode.WORKER_LOST, "the worker was lost again and again")
TOO_LATE = ErrorInfo(ErrorCode.DEADLINE_EXCEEDED, "the deadline passed before it was done")


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
        self._lock = threading.RLock()
        self._jobs: dict[str, Job] = {}
        self._first = FirstSubmissions(idempotency_keep_s)
        self._told: set[str] = set()  # jobs a re-send was answered with
        self._shared = Shared()
        self._items: dict[str, dict[int, ItemState]] = {}
        self._sent_at: dict[str, float] = {}
        self._done_at_crash: dict[str, int] = {}
        self._pids: dict[str, int] = {}
        self._joining: dict[str, JoinedLast] = {}  # of jobs whose worker is known to be lost
        self._last_token = 0

    def create(self, job: Job, *, body_hash: str = "") -> Created:
        with self._lock:
            now_s = self._clock()
            if job.id in self._jobs:  # ids are random: our own call, repeated
                again = self._jobs[job.id]
                return Created(again, is_new=True, follows=again.follows, depth=self.depth())
            known = self.get(self._first.of(job, body_hash, now_s=now_s) or "")
            if known is not None:
                self._told.add(known.id)
                return Created(known, is_new=False)
            job = replace(with_length(job), created_at=now_s, queued_at=now_s)
            self._first.note(job, body_hash, now_s=now_s)
            name = flight(job)
            leader = self._jobs.get(self._shared.inflight.get(name or "", ""))
            if leader is not None and not leader.status.is_terminal and not leader.cancel_requested:
                return self._follow(job, leader)
            if name is not None:
                self._shared.inflight[name] = job.id
            self._sent_at[job.id] = now_s
            job = self._write(replace(job, status=JobStatus.QUEUED), announce=False)  # nobody knows its id yet
            return Created(job, is_new=True, depth=self.depth())

    def _follow(self, job: Job, leader: Job) -> Created:
        self._shared.sharers.setdefault(leader.work_id, {leader.work_id}).add(job.id)
        job = self._write(
            replace(
                job,
                request=replace(job.request, text=""),  # the leader has it
                shares=leader.work_id,
                follows=True,
                reference_audio_blob=leader.reference_audio_blob,
                reference_latent_blob=leader.reference_latent_blob,
                **like(leader),
            )
        )
        raised = None
        if leader.status is JobStatus.QUEUED and (job.priority, leader.priority) == RAISES:
            raised = self._jobs[leader.id] = replace(leader, priority=Priority.INTERACTIVE)
        return Created(job, is_new=True, follows=True, raised=raised)

    def withdraw(self, job_id: str) -> bool:
        with self._lock:
            job = self.get(job_id)
            if job is None or job.status is not JobStatus.QUEUED or job.follows or job_id in self._told:
                return False
            self._hand_over(job)
            self._shared.forget(job)
            self._sent_at.pop(job_id, None)
            self._erase(job)
            return True

    def leader(self, work_id: str) -> Job | None:
        with self._lock:
            job = self._lead(work_id)
            return None if job is None or job.status.is_terminal or job.follows else job

    def keeps_files(self, work_id: str) -> bool:
        with self._lock:
            return work_id in self._jobs or bool(self._shared.sharers.get(work_id))

    def get(self, job_id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(job_id)

    def status(self, job_id: str) -> JobStatus | None:
        job = self.get(job_id)
        return None if job is None else job.status

    def characters(self, job_id: str) -> int | None:
        job = self.get(job_id)
        return None if job is None else job.characters

    def list(
        self,
        *,
        status: JobStatus | None = None,
        owner: str | None = None,
        wanted: JobFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        with self._lock:
            jobs = tuple(self._jobs.values())
        wanted = wanted or JobFilter()
        found = [j for j in jobs if status in {None, j.status} and owner in {None, j.owner} and wanted.has(j)]
        return page_of(found, cursor=cursor, limit=limit)

    def claim(self, job_id: str, *, worker: str, lease_s: float, suspects: bool = True) -> Claim | None:
        with self._lock:
            job = self._lead(job_id)
            if job is None or job.status is not JobStatus.QUEUED or job.follows or (job.attempts and not suspects):
                return None
            now_s = self._clock()
            self._end_late_followers(job)
            self._last_token += 1
            self._sent_at.pop(job.id, None)
            self._pids[job.id] = os.getpid()
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
            self._followers_as(job)
            return Claim(self._write(job), self._last_token)

    def heartbeat(self, job_id: str, token: int, *, lease_s: float, progress: JobProgress | None = None) -> Heartbeat:
        with self._lock:
            job = self._held(job_id, token)
            if job is None:
                return Heartbeat(alive=False)
            job = replace(job, lease_until=self._clock() + lease_s, progress=progress or job.progress)
            self._end_late_followers(job)
            self._write(job, announce=progress is not None)
            if progress is not None:
                self._followers_as(job)
            return Heartbeat(alive=True, cancel_requested=job.cancel_requested)

    def note_items(self, job_id: str, token: int, states: Mapping[int, ItemState]) -> bool:
        with self._lock:
            job = self._held(job_id, token)
            if job is None or job.id != job_id:
                return False
            self._items.setdefault(job_id, {}).update(states)
            self._write(job)
            return True

    def items(self, job_id: str) -> Mapping[int, ItemState]:
        with self._lock:
            return dict(self._items.get(job_id, {}))

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
            if job.follows or self._hand_over(job) or job.status is JobStatus.QUEUED:
                self._sent_at.pop(job_id, None)
                return self._write(self._ended(job, JobStatus.CANCELLED))
            self._write(job, announce=False)
            for name in dict.fromkeys((job.id, job.work_id)):  # the worker knows the work by its name
                self._events.publish(Event(EventKind.JOB, name, CANCELLING))
            return job

    def bury(self, worker: str, pid: int, *, joining: Collection[JoinedLast] = ()) -> int:
        joined = {each.work_id: each for each in joining}
        with self._lock:
            held = [j for j in self._jobs.values() if j.status is JobStatus.RUNNING and j.worker == worker]
            held = [j for j in held if not j.follows and self._pids[j.id] == pid]
            self._jobs |= {j.id: replace(j, lease_until=0.0) for j in held}
            self._joining |= {j.id: joined[j.work_id] for j in held if j.work_id in joined}
            return len(held)

    def expired(self, limit: int = 100, *, buried_only: bool = False) -> tuple[str, ...]:
        with self._lock:
            lost = [j for j in self._jobs.values() if self._is_expired(j) and not (buried_only and j.lease_until)]
        lost.sort(key=lambda j: j.lease_until or 0.0)
        return tuple(j.id for j in lost[:limit])

    def requeue(self, job_id: str, *, max_attempts: int = 2) -> Job | None:
        with self._lock:
            job = self._lead(job_id)
            if job is None or not self._is_expired(job):
                return None
            if job.cancel_requested:
                return self._end_all(job, JobStatus.CANCELLED)
            if (joining := self._joining.pop(job.id, None)) is not None:
                if not joining.alone:  # it or who ran beside it: it is alone there the next time
                    job = replace(job, attempts=1, lost_at=joining.place)
            elif job.progress.segments_total > 1 and not job.progress.is_ending:
                job = replace(job, attempts=job.attempts - 1)  # it waited: for its segments, or for its turn
            elif job.progress.segments_done > self._done_at_crash.get(job.id, 0):
                self._done_at_crash[job.id] = job.progress.segments_done
                job = replace(job, attempts=1)
            if job.attempts >= max_attempts:
                return self._end_all(job, JobStatus.FAILED, error=LOST)
            return self._put_back(job)

    def resend_due(self, *, older_than_s: float, limit: int = 100) -> tuple[Job, ...]:
        with self._lock:
            now_s = self._clock()
            due = [i for i, sent_at in self._sent_at.items() if sent_at <= now_s - older_than_s][:limit]
            self._sent_at.update(dict.fromkeys(due, now_s))
            return tuple(self._jobs[i] for i in due)

    def doubt_messages(self, *, older_than_s: float = 0.0, limit: int = 100) -> int:
        with self._lock:
            sent_by = self._clock() - older_than_s
            first = [i for p in Priority for i in [j.id for j in self._queue() if j.priority is p][:limit]]
            doubted = [i for i in first if 0 < self._sent_at.get(i, 0.0) <= sent_by]
            self._sent_at.update(dict.fromkeys(doubted, 0.0))
            return len(doubted)

    def delete(self, job_id: str) -> Job | None:
        with self._lock:
            job = self.get(job_id)
            if job is None or not job.status.is_terminal:
                return None
            return self._erase(job)

    def _erase(self, job: Job) -> Job:
        sharers = self._shared.sharers.get(job.work_id, set())
        sharers.discard(job.id)
        if not sharers:
            self._shared.sharers.pop(job.work_id, None)
        self._told.discard(job.id)
        self._items.pop(job.id, None)
        self._events.publish(Event(EventKind.JOB, job.id, "deleted"))
        return self._jobs.pop(job.id)

    def outdated(self, limit: int = 100) -> tuple[str, ...]:
        end = self._clock() - self._keep_s
        with self._lock:
            old = [j for j in self._jobs.values() if j.finished_at is not None and j.finished_at <= end]
        old.sort(key=lambda j: j.finished_at or 0.0)
        return tuple(j.id for j in old[:limit])

    def queue_position(self, job_id: str) -> int | None:
        with self._lock:
            job = self.get(job_id)
            leader = job and self._lead(job.work_id)
            job_id = leader.id if leader else job_id
            return next((n for n, j in enumerate(self._queue()) if j.id == job_id), None)

    def _queue(self) -> Sequence[Job]:
        queued = [j for j in self._jobs.values() if j.status is JobStatus.QUEUED and not j.follows]
        return sorted(queued, key=lambda j: (j.priority is not Priority.INTERACTIVE, j.queued_at, j.id))

    def depth(self) -> QueueDepth:
        with self._lock:
            leading = [j for j in self._jobs.values() if not j.follows]
        queued = [j for j in leading if j.status is JobStatus.QUEUED]
        running = [j for j in leading if j.status is JobStatus.RUNNING]
        interactive = [j for j in queued if j.priority is Priority.INTERACTIVE]
        return QueueDepth(
            queued_jobs=len(queued),
            running_jobs=len(running),
            queued_audio_s=_audio_s(queued),
            queued_interactive_audio_s=_audio_s(interactive),
            running_audio_s=_audio_s(running),
            oldest_queued_at=min((j.queued_at for j in queued), default=None),
        )

    def _lead(self, job_id: str) -> Job | None:
        """The job itself, or the one that leads the work of this name now."""
        job = self._jobs.get(job_id)
        if job is None or job.status.is_terminal or job.follows:
            return self._jobs.get(self._shared.leaders.get(job_id, ""), job)
        return job

    def _held(self, job_id: str, token: int) -> Job | None:
        """The job, if this token still holds it.  A late heartbeat saves a lease that nobody swept yet."""
        job = self._lead(job_id)
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
                known = self._lead(job_id)
                return known is not None and (known.token, known.status) == (token, status)
            if error is not None and error.code is ErrorCode.DEADLINE_EXCEEDED:
                self._end_late(job, error)
            else:
                self._end_all(job, status, result=result, error=error)
            return True

    def _end_late(self, job: Job, error: ErrorInfo) -> None:
        """A deadline is one job's own.  The others begin anew, under theirs."""
        self._end_late_followers(job)
        heir: Job | None = job
        if job.id not in self._shared.took_over or self._is_late(job):
            heir = self._hand_over(job)
            self._write(replace(self._ended(job, JobStatus.FAILED), error=error))
        if heir is not None:
            self._put_back(replace(heir, attempts=heir.attempts - 1), sent_at=0.0)

    def _end_all(
        self, job: Job, status: JobStatus, *, result: JobResult | None = None, error: ErrorInfo | None = None
    ) -> Job:
        for other in (*self._followers(job.work_id), job):
            self._write(replace(self._ended(other, status), result=result, error=error))
        return self._jobs[job.id]

    def _ended(self, job: Job, status: JobStatus) -> Job:
        self._shared.forget(job)
        return replace(job, status=status, finished_at=self._clock(), lease_until=None, follows=False)

    def _put_back(self, job: Job, *, sent_at: float | None = None) -> Job:
        now_s = self._clock()
        self._sent_at[job.id] = now_s if sent_at is None else sent_at
        self._shared.took_over.discard(job.id)
        waits = {"status": JobStatus.QUEUED, "lease_until": None, "worker": None, "progress": JobProgress()}
        for other in self._followers(job.work_id):
            self._write(replace(other, **waits))  # type: ignore[arg-type] # the four lines above
        return self._write(replace(job, queued_at=now_s, **waits))  # type: ignore[arg-type] # as above

    def _followers(self, work_id: str) -> Sequence[Job]:
        return [j for j in self._jobs.values() if j.follows and j.shares == work_id]

    def _followers_as(self, leader: Job) -> None:
        for other in self._followers(leader.work_id):
            self._write(replace(other, **like(leader)))

    def _is_late(self, job: Job) -> bool:
        return job.deadline_at is not None and job.deadline_at <= self._clock()

    def _end_late_followers(self, leader: Job) -> None:
        for other in self._followers(leader.work_id):
            if self._is_late(other):
                self._write(replace(self._ended(other, JobStatus.FAILED), error=TOO_LATE))

    def _hand_over(self, leader: Job) -> Job | None:
        """Who asked next takes over what is under way; None: nobody did.  The caller ends the old leader."""
        followers = self._followers(leader.work_id)
        if not followers:
            return None
        heir = followers[0]
        urgent = any(other.priority is Priority.INTERACTIVE for other in followers)
        heir = replace(
            heir,
            request=replace(heir.request, text=leader.request.text),
            priority=Priority.INTERACTIVE if urgent else heir.priority,
            follows=False,
            lease_until=leader.lease_until,
            lost_at=leader.lost_at,
            **like(leader),
        )
        if heir.status is JobStatus.QUEUED:
            heir = replace(heir, queued_at=self._clock())
            self._sent_at[heir.id] = 0.0
        else:
            self._shared.took_over.add(heir.id)
            self._pids[heir.id] = self._pids[leader.id]
        if leader.id in self._joining:
            self._joining[heir.id] = self._joining.pop(leader.id)
        if leader.id in self._done_at_crash:
            self._done_at_crash[heir.id] = self._done_at_crash[leader.id]
        self._shared.lead(leader, heir)
        self._jobs[heir.id] = heir
        return heir

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
