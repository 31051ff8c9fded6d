"""The job store in Redis.  Every transition is one Lua script (lua/jobs_*.lua): whole or not at all.

Leases are measured by the Redis server's clock, the one clock all hosts share, unless a test hands one in.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from redis import Redis

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.last_words import JoinedLast
from contract.records import as_json, item_from_json, item_json, job_fields, job_from_fields, result_json
from contract.redis_keys import RedisKeys
from contract.schemas import JOB_ID, ItemState, Job, JobProgress, JobResult, JobStatus, Priority
from contract.stores.connection import Clock, decoded, lua, translated
from contract.stores.cursor import Place, decode, encode
from contract.stores.durability import Durability
from contract.stores.jobs import Claim, Created, Heartbeat, JobFilter, JobPage, QueueDepth, flight, with_length
from contract.stores.memory_jobs import LOST

_SCRIPTS = ("create", "claim", "heartbeat", "note_items", "end", "bury", "put_back", "cancel", "resend", "doubt")
_ERASING = ("delete", "withdraw")
_PAGE = 100


class RedisJobStore:
    """See interfaces.JobStore."""

    def __init__(
        self,
        redis: Redis,
        keys: RedisKeys,
        *,
        keep_s: float,
        idempotency_keep_s: int,
        clock: Clock | None = None,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._keep_s = keep_s
        self._idempotency_keep_s = idempotency_keep_s
        self._clock = clock
        self._durability = Durability(redis)
        before = ("clock", "jobs_prelude")
        self._scripts = {n: redis.register_script(lua(*before, f"jobs_{n}")) for n in _SCRIPTS}
        self._scripts |= {n: redis.register_script(lua(*before, "jobs_erase", f"jobs_{n}")) for n in _ERASING}

    def create(self, job: Job, *, body_hash: str = "") -> Created:
        key = ""
        if job.idempotency_key:
            digest = hashlib.sha256(job.idempotency_key.encode()).hexdigest()
            key = self._keys.idempotency(job.owner or "", digest)
        job = with_length(job)
        flat = [part for pair in job_fields(job).items() for part in pair]
        arguments: tuple[str | float, ...] = (flight(job) or "", body_hash, self._idempotency_keep_s, *flat)
        with translated():
            outcome, found, *rest = self._run("create", job.id, *arguments, key=key, durably=True)
        if outcome == b"conflict":
            raise ServiceError(ErrorCode.CONFLICT, "this Idempotency-Key was used with another body")
        if outcome == b"new":
            created_at, *depth = rest
            at = float(created_at)
            return Created(
                replace(job, status=JobStatus.QUEUED, created_at=at, queued_at=at), is_new=True, depth=_depth(*depth)
            )
        known = self.get(found.decode())
        if known is None:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE, "the job vanished as it was written")
        if outcome == b"known":
            return Created(known, is_new=False)
        if outcome == b"again":
            return Created(known, is_new=True, follows=known.follows, depth=self.depth())
        (raised,) = rest
        return Created(known, is_new=True, follows=True, raised=self.get(raised.decode()) if raised else None)

    def get(self, job_id: str) -> Job | None:
        if not JOB_ID.fullmatch(job_id):  # else `x:chunks` would name another key of ours
            return None
        with translated():
            fields = decoded(self._redis.hgetall(self._keys.job(job_id)))
        return job_from_fields(fields) if "id" in fields else None

    def leader(self, work_id: str) -> Job | None:
        job = self.get(work_id)
        if job is None or job.status.is_terminal or job.follows:
            with translated():
                leader: Any = self._redis.hget(self._keys.job_leaders(), work_id)
            job = None if leader is None else self.get(leader.decode())
        return None if job is None or job.status.is_terminal else job

    def keeps_files(self, work_id: str) -> bool:
        with translated():
            return bool(self._redis.exists(self._keys.job(work_id), self._keys.job_sharers(work_id)))

    def status(self, job_id: str) -> JobStatus | None:
        if not JOB_ID.fullmatch(job_id):
            return None
        with translated():
            found: Any = self._redis.hget(self._keys.job(job_id), "status")  # Any: as redis-py types it
        return None if found is None else JobStatus(found.decode())

    def characters(self, job_id: str) -> int | None:
        if not JOB_ID.fullmatch(job_id):
            return None
        with translated():
            found: Any = self._redis.hget(self._keys.job(job_id), "characters")  # Any: as redis-py types it
        return None if found is None else int(found)

    def list(
        self,
        *,
        status: JobStatus | None = None,
        owner: str | None = None,
        wanted: JobFilter | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        index = self._keys.jobs_all() if status is None else self._keys.jobs_with_status(status)
        before = None if cursor is None else decode(cursor)
        wanted = wanted or JobFilter()
        highest = min((at for at in (before and before[0], wanted.created_before) if at is not None), default=None)
        found: list[Job] = []
        offset = 0
        with translated():
            while len(found) <= limit:
                page = self._ids(index, highest, wanted.created_from, offset)
                if not page:
                    break
                offset += len(page)
                ids = [job_id for created_at, job_id in page if before is None or (created_at, job_id) < before]
                found += [job for job in self._read(ids) if owner in {None, job.owner} and wanted.has(job)]
        more = len(found) > limit
        found = found[:limit]
        return JobPage(tuple(found), encode(found[-1]) if more else None)

    def _ids(self, index: str, highest: float | None, lowest: float | None, offset: int) -> Sequence[Place]:
        """Newest first, both ends included."""
        above, below = ("+inf" if highest is None else repr(highest)), ("-inf" if lowest is None else repr(lowest))
        page: Any = self._redis.zrevrangebyscore(index, above, below, start=offset, num=_PAGE, withscores=True)
        return [(float(score), member.decode()) for member, score in page]

    def _read(self, ids: Sequence[str]) -> Sequence[Job]:
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(self._keys.job(job_id))
            records = [decoded(record) for record in pipe.execute()]
        return [job_from_fields(record) for record in records if "id" in record]

    def claim(self, job_id: str, *, worker: str, lease_s: float, suspects: bool = True) -> Claim | None:
        with translated():
            arguments = (worker, lease_s, int(suspects), os.getpid(), self._keep_s)
            record = decoded(self._run("claim", job_id, *arguments))
        if not record:
            return None
        job = job_from_fields(record)
        return Claim(job, job.token)

    def heartbeat(self, job_id: str, token: int, *, lease_s: float, progress: JobProgress | None = None) -> Heartbeat:
        told = as_json(progress) if progress else ""
        with translated():
            alive, cancel = self._run("heartbeat", job_id, token, lease_s, told, self._keep_s)
        return Heartbeat(alive=bool(alive), cancel_requested=bool(cancel))

    def note_items(self, job_id: str, token: int, states: Mapping[int, ItemState]) -> bool:
        flat = [part for index, state in states.items() for part in (index, item_json(state))]
        with translated():
            return bool(self._run("note_items", job_id, token, *flat))

    def items(self, job_id: str) -> Mapping[int, ItemState]:
        if not JOB_ID.fullmatch(job_id):
            return {}
        with translated():
            found = decoded(self._redis.hgetall(self._keys.job_items(job_id)))
        return {int(index): item_from_json(text) for index, text in found.items()}

    def finish(self, job_id: str, token: int, result: JobResult) -> bool:
        return self._end(job_id, token, JobStatus.DONE, "result", result_json(result))

    def fail(self, job_id: str, token: int, error: ErrorInfo) -> bool:
        fields = ("error_code", error.code.value, "error_detail", error.detail)
        return self._end(job_id, token, JobStatus.FAILED, *fields)

    def cancelled(self, job_id: str, token: int) -> bool:
        return self._end(job_id, token, JobStatus.CANCELLED)

    def _end(self, job_id: str, token: int, status: JobStatus, *fields: str) -> bool:
        with translated():
            return bool(self._run("end", job_id, token, status.value, self._keep_s, *fields))

    def release(self, job_id: str, token: int) -> bool:
        with translated():
            return bool(self._run("put_back", job_id, token, 0, self._keep_s, "", ""))

    def request_cancel(self, job_id: str) -> Job | None:
        if self.get(job_id) is None:
            return None
        with translated():
            self._run("cancel", job_id, self._keep_s)
        return self.get(job_id)

    def bury(self, worker: str, pid: int, *, joining: Collection[JoinedLast] = ()) -> int:
        told = [part for each in joining for part in (each.work_id, each.place, int(each.alone))]
        with translated():
            return int(self._run("bury", "", worker, pid, *told))

    def expired(self, limit: int = 100, *, buried_only: bool = False) -> tuple[str, ...]:
        with translated():
            return self._until(0.0 if buried_only else self._now_s(), self._keys.job_leases(), limit)

    def requeue(self, job_id: str, *, max_attempts: int = 2) -> Job | None:
        with translated():
            done = self._run("put_back", job_id, "", max_attempts, self._keep_s, LOST.code.value, LOST.detail)
        return self.get(done.decode()) if done else None

    def resend_due(self, *, older_than_s: float, limit: int = 100) -> tuple[Job, ...]:
        with translated():
            due = self._run("resend", "", older_than_s, limit)
            return tuple(self._read([member.decode() for member in due]))

    def doubt_messages(self, *, older_than_s: float = 0.0, limit: int = 100) -> int:
        with translated():
            return int(self._run("doubt", "", older_than_s, limit))

    def outdated(self, limit: int = 100) -> tuple[str, ...]:
        with translated():
            return self._until(self._now_s(), self._keys.jobs_ended(), limit)

    def delete(self, job_id: str) -> Job | None:
        if not JOB_ID.fullmatch(job_id):
            return None
        with translated():
            record = decoded(self._run("delete", job_id, key=self._keys.job_chunks(job_id)))
        return job_from_fields(record) if "id" in record else None

    def withdraw(self, job_id: str) -> bool:
        with translated():
            return bool(self._run("withdraw", job_id, key=self._keys.job_chunks(job_id)))

    def queue_position(self, job_id: str) -> int | None:
        if not JOB_ID.fullmatch(job_id):
            return None
        with translated():
            work_id = self._redis.hget(self._keys.job(job_id), "shares")
            leader = work_id and (self._redis.hget(self._keys.job_leaders(), work_id) or work_id)
            return self._position(leader.decode() if isinstance(leader, bytes) else job_id)

    def _position(self, job_id: str) -> int | None:
        first, second = (self._keys.job_queue(p) for p in (Priority.INTERACTIVE, Priority.BATCH))
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrank(first, job_id)
            pipe.zrank(second, job_id)
            pipe.zcard(first)
            rank, later_rank, ahead = pipe.execute()
        if rank is not None:
            return int(rank)
        return None if later_rank is None else int(ahead) + int(later_rank)

    def depth(self) -> QueueDepth:
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            for priority in Priority:
                pipe.zcard(self._keys.job_queue(priority))
            pipe.zcard(self._keys.job_leases())
            pipe.hgetall(self._keys.job_load())
            for priority in Priority:
                pipe.zrange(self._keys.job_queue(priority), 0, 0, withscores=True)
            interactive, batch, running, load, *oldest = pipe.execute()
        first = [float(found[0][1]) for found in oldest if found]
        return _depth(interactive + batch, running, load, first)

    def _until(self, unix_s: float, index: str, limit: int) -> tuple[str, ...]:
        found: Any = self._redis.zrangebyscore(index, "-inf", unix_s, start=0, num=limit)
        return tuple(member.decode() for member in found)

    def _now_s(self) -> float:
        if self._clock is not None:
            return self._clock()
        seconds, microseconds = self._redis.time()
        return float(seconds) + float(microseconds) / 1e6

    def _run(  # Any: the script's own
        self, script: str, job_id: str, *arguments: str | float, key: str = "", durably: bool = False
    ) -> Any:
        keys = self._keys
        listed = [
            keys.job(job_id),
            keys.jobs_all(),
            keys.job_tokens(),
            keys.job_leases(),
            keys.job_load(),
            keys.jobs_unclaimed(),
            keys.jobs_ended(),
            keys.events(),
            *(keys.jobs_with_status(status) for status in JobStatus),
            *(keys.job_queue(priority) for priority in Priority),
            key,
            keys.webhooks_due(),
            keys.job_leaders(),
        ]
        now_s = "" if self._clock is None else repr(self._clock())
        prepared, args = self._scripts[script], [job_id, now_s, keys.inflight(), *arguments]
        if durably:
            return self._durability.run(lambda client: prepared(keys=listed, args=args, client=client))
        return prepared(keys=listed, args=args)


def _depth(queued: int, running: int, load: object, oldest: Sequence[bytes | float]) -> QueueDepth:
    """load: the hash of expected milliseconds;  oldest: when the first of each queue that has one came."""
    ms = {name: int(value) for name, value in decoded(load).items()}
    interactive_ms = ms.get("queued_interactive_ms", 0)
    return QueueDepth(
        queued_jobs=queued,
        running_jobs=running,
        queued_audio_s=(interactive_ms + ms.get("queued_batch_ms", 0)) / 1000,
        queued_interactive_audio_s=interactive_ms / 1000,
        running_audio_s=ms.get("running_ms", 0) / 1000,
        oldest_queued_at=min((float(at) for at in oldest), default=None),
    )
