"""The in-memory twin of the store of segments, under one lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contract.errors import ErrorInfo
from contract.schemas import Priority
from contract.stores.interfaces import Event, EventKind, Events
from contract.stores.segments import (
    LOST,
    OWN,
    QUARANTINE_S,
    Recovered,
    RunningSegment,
    SegmentRecord,
    SegmentStats,
    SegmentStatus,
    WantedSegment,
)


@dataclass
class _Segment:
    """A record and what only the store knows of it; changed under the store's lock."""

    record: SegmentRecord
    wanted_at: float = 0.0
    lease_until: float = 0.0
    pid: int = 0
    failed_until: float = 0.0
    used: int = 0
    used_at: float = 0.0
    voice_id: str = ""
    jobs: dict[str, int] = field(default_factory=dict)  # who wants it, and where it stands there


class MemorySegmentStore:
    """See segments.SegmentStore."""

    def __init__(self, events: Events, *, clock: Callable[[], float]) -> None:
        self._events, self._clock = events, clock
        self._lock = threading.RLock()
        self._segments: dict[str, _Segment] = {}
        self._last_token = 0
        self._uses = 0
        self._rendered = 0

    def want(self, job_id: str, priority: Priority, segments: Sequence[WantedSegment]) -> tuple[SegmentRecord, ...]:
        with self._lock:
            found = tuple(self._want(job_id, priority, segment) for segment in segments)
            if any(record.status is SegmentStatus.QUEUED for record in found):
                self._tell("", SegmentStatus.QUEUED)
            return found

    def _want(self, job_id: str, priority: Priority, wanted: WantedSegment) -> SegmentRecord:
        now_s = self._clock()
        held = self._segments.get(wanted.key)
        if held is None or (held.record.status is SegmentStatus.FAILED and held.failed_until <= now_s):
            jobs = {} if held is None else held.jobs
            record = SegmentRecord(wanted.key, SegmentStatus.QUEUED, job_id, wanted.index, priority)
            held = _Segment(record, wanted_at=now_s + wanted.after_s, voice_id=wanted.voice_id, jobs=jobs)
            self._segments[wanted.key] = held
        elif held.record.status is SegmentStatus.QUEUED:
            if priority is Priority.INTERACTIVE:
                held.record = replace(held.record, priority=priority)
            held.wanted_at = min(held.wanted_at, now_s + wanted.after_s)
        self._touch(held)
        held.jobs[job_id] = wanted.index
        return held.record

    def read(self, keys: Sequence[str]) -> tuple[SegmentRecord | None, ...]:
        with self._lock:
            found = [self._segments.get(key) for key in keys]
            return tuple(None if held is None else held.record for held in found)

    def claim(self, *, worker: str, lease_s: float, batch: bool = True) -> SegmentRecord | None:
        with self._lock:
            queued = [held for held in self._queued() if held.record.attempts == 0]
            if not batch:
                queued = [held for held in queued if held.record.priority is Priority.INTERACTIVE]
            return self._claim(queued, worker, lease_s)

    def claim_suspect(self, *, worker: str, lease_s: float) -> SegmentRecord | None:
        with self._lock:
            return self._claim([held for held in self._queued() if held.record.attempts], worker, lease_s)

    def has_suspects(self) -> bool:
        with self._lock:
            return any(held.record.attempts for held in self._queued())

    def _queued(self) -> list[_Segment]:
        return [held for held in self._segments.values() if held.record.status is SegmentStatus.QUEUED]

    def _claim(self, queued: list[_Segment], worker: str, lease_s: float) -> SegmentRecord | None:
        with self._lock:
            if not queued:
                return None
            first = min(
                queued,
                key=lambda h: (h.record.priority is not Priority.INTERACTIVE, h.wanted_at, h.record.key),
            )
            self._last_token += 1
            first.lease_until, first.pid = self._clock() + lease_s, os.getpid()
            first.record = replace(
                first.record,
                status=SegmentStatus.RUNNING,
                token=self._last_token,
                attempts=first.record.attempts + 1,
                worker=worker,
                steps_done=0,
            )
            return first.record

    def renew(self, running: Sequence[RunningSegment], *, lease_s: float) -> tuple[str, ...]:
        stop: list[str] = []
        with self._lock:
            for each in running:
                held = self._held(each.key, each.token)
                if held is None or not held.jobs:
                    stop.append(each.key)
                if held is not None:
                    held.lease_until = self._clock() + lease_s
                    held.record = replace(held.record, steps_done=each.steps_done)
        return tuple(stop)

    def finish(self, key: str, token: int, *, blob: str, size_bytes: int, about: Mapping[str, object]) -> bool:
        with self._lock:
            held = self._held(key, token)
            if held is None:
                return self._is_repeat(key, token, SegmentStatus.DONE)
            if key.startswith(OWN) and not held.jobs:
                del self._segments[key]
                return False
            held.record = replace(
                held.record, status=SegmentStatus.DONE, blob=blob, size_bytes=size_bytes, about=dict(about)
            )
            self._rendered += 1
            self._touch(held)
            self._tell_jobs(held)
            return True

    def fail(self, key: str, token: int, error: ErrorInfo) -> bool:
        with self._lock:
            held = self._held(key, token)
            if held is None:
                return self._is_repeat(key, token, SegmentStatus.FAILED)
            self._end_failed(held, error)
            return True

    def release(self, key: str, token: int) -> bool:
        with self._lock:
            held = self._held(key, token)
            if held is None:
                return False
            self._put_back(held, attempts=held.record.attempts - 1)
            return True

    def leave(self, job_id: str) -> tuple[str, ...]:
        erased: list[str] = []
        with self._lock:
            for key, held in list(self._segments.items()):
                if held.jobs.pop(job_id, None) is None:
                    continue
                if held.jobs:
                    other, index = next(iter(held.jobs.items()))
                    held.record = replace(held.record, job_id=other, index=index)
                elif held.record.status is SegmentStatus.RUNNING:
                    self._tell(key, "unwanted")
                elif held.failed_until > self._clock():
                    continue  # quarantined
                elif held.record.status is not SegmentStatus.DONE or key.startswith(OWN):
                    erased += [held.record.blob] if held.record.blob else []
                    del self._segments[key]
        return tuple(erased)

    def wanting(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted({job_id for held in self._segments.values() for job_id in held.jobs}))

    def bury(self, worker: str, pid: int) -> int:
        with self._lock:
            running = [h for h in self._segments.values() if h.record.status is SegmentStatus.RUNNING]
            mine = [h for h in running if h.record.worker == worker and h.pid == pid]
            for held in mine:
                held.lease_until = 0.0
            return len(mine)

    def recover(self, *, max_attempts: int = 2, limit: int = 100, buried_only: bool = False) -> Recovered:
        requeued: list[str] = []
        given_up: list[str] = []
        with self._lock:
            now_s = self._clock()
            until_s = 0.0 if buried_only else now_s
            running = [h for h in self._segments.values() if h.record.status is SegmentStatus.RUNNING]
            for held in [h for h in running if h.lease_until <= until_s][:limit]:
                if held.jobs and held.record.attempts >= max_attempts:
                    held.failed_until = now_s + QUARANTINE_S
                    self._end_failed(held, LOST)
                    given_up.append(held.record.key)
                else:
                    self._put_back(held, attempts=held.record.attempts)
                    requeued += [held.record.key] if held.jobs else []
        return Recovered(tuple(requeued), tuple(given_up))

    def forget(self, key: str) -> None:
        with self._lock:
            held = self._segments.get(key)
            if held is not None and held.record.status is SegmentStatus.DONE:
                del self._segments[key]

    def trim(self, *, max_bytes: int, older_than_s: float, limit: int = 200) -> tuple[str, ...]:
        with self._lock:
            kept = sorted((h for h in self._segments.values() if _is_kept(h)), key=lambda h: h.used)
            total, before = sum(h.record.size_bytes for h in kept), self._clock() - older_than_s
            erased: list[str] = []
            for held in kept:
                if len(erased) >= limit or (total <= max_bytes and held.used_at > before):
                    break
                if not held.jobs:
                    total -= held.record.size_bytes
                    erased.append(self._drop(held))
            return tuple(erased)

    def delete_voice(self, voice_id: str) -> tuple[str, ...]:
        with self._lock:
            made = [h for h in self._segments.values() if h.voice_id == voice_id and _is_kept(h)]
            return tuple(self._drop(held) for held in made)

    def stats(self) -> SegmentStats:
        with self._lock:
            everything = list(self._segments.values())
        statuses = [held.record.status for held in everything]
        kept = [held.record.size_bytes for held in everything if _is_kept(held)]
        return SegmentStats(
            queued=statuses.count(SegmentStatus.QUEUED),
            running=statuses.count(SegmentStatus.RUNNING),
            kept=len(kept),
            size_bytes=sum(kept),
            rendered=self._rendered,
        )

    def _held(self, key: str, token: int) -> _Segment | None:
        held = self._segments.get(key)
        if held is None or held.record.status is not SegmentStatus.RUNNING or held.record.token != token:
            return None
        return held

    def _is_repeat(self, key: str, token: int, status: SegmentStatus) -> bool:
        held = self._segments.get(key)
        return held is not None and (held.record.token, held.record.status) == (token, status)

    def _touch(self, held: _Segment) -> None:
        self._uses += 1
        held.used, held.used_at = self._uses, self._clock()

    def _end_failed(self, held: _Segment, error: ErrorInfo) -> None:
        held.record = replace(held.record, status=SegmentStatus.FAILED, error=error)
        self._tell_jobs(held)

    def _put_back(self, held: _Segment, *, attempts: int) -> None:
        if not held.jobs:
            del self._segments[held.record.key]
            return
        held.record = replace(held.record, status=SegmentStatus.QUEUED, attempts=attempts, worker=None)
        self._tell("", SegmentStatus.QUEUED)

    def _drop(self, held: _Segment) -> str:
        del self._segments[held.record.key]
        assert held.record.blob is not None
        return held.record.blob

    def _tell_jobs(self, held: _Segment) -> None:
        for job_id in held.jobs:
            self._tell(job_id, held.record.status)

    def _tell(self, about: str, status: str) -> None:
        self._events.publish(Event(EventKind.SEGMENT, about, status))


def _is_kept(held: _Segment) -> bool:
    return held.record.status is SegmentStatus.DONE
