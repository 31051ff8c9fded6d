"""The store of segments in Redis.  Every change is one Lua script (lua/segments_*.lua): whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from contract.errors import ErrorCode, ErrorInfo
from contract.records import as_json
from contract.redis_keys import RedisKeys
from contract.schemas import Priority
from contract.stores.connection import Clock, decoded, lua, translated
from contract.stores.segments import (
    LOST,
    QUARANTINE_S,
    Recovered,
    RunningSegment,
    SegmentRecord,
    SegmentStats,
    SegmentStatus,
    WantedSegment,
)

_SCRIPTS = (
    *("want", "claim", "renew", "finish", "fail", "release", "leave", "bury"),
    *("recover", "forget", "trim", "delete_voice"),
)
_A_CALL = 500  # segments one script looks at: some milliseconds of the server's time


class RedisSegmentStore:
    """See segments.SegmentStore."""

    def __init__(self, redis: Redis, keys: RedisKeys, *, clock: Clock | None = None) -> None:
        self._redis, self._keys, self._clock = redis, keys, clock
        self._scripts = {n: redis.register_script(lua("clock", "segments_prelude", f"segments_{n}")) for n in _SCRIPTS}

    def want(self, job_id: str, priority: Priority, segments: Sequence[WantedSegment]) -> tuple[SegmentRecord, ...]:
        found: list[SegmentRecord] = []
        for some in _portions(segments):
            flat = [part for s in some for part in (s.key, s.index, s.after_s, s.voice_id)]
            with translated():
                found += [_record(decoded(fields)) for fields in self._run("want", job_id, priority.value, *flat)]
        return tuple(found)

    def read(self, keys: Sequence[str]) -> tuple[SegmentRecord | None, ...]:
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(self._keys.segment(key))
            records = [decoded(fields) for fields in pipe.execute()]
        return tuple(_record(fields) if "key" in fields else None for fields in records)

    def claim(self, *, worker: str, lease_s: float, batch: bool = True) -> SegmentRecord | None:
        return self._claim(worker, lease_s, "interactive", *(["batch"] if batch else []))

    def claim_suspect(self, *, worker: str, lease_s: float) -> SegmentRecord | None:
        return self._claim(worker, lease_s, "suspects")

    def _claim(self, worker: str, lease_s: float, *queues: str) -> SegmentRecord | None:
        with translated():
            fields = decoded(self._run("claim", worker, os.getpid(), lease_s, *queues))
        return _record(fields) if fields else None

    def has_suspects(self) -> bool:
        with translated():
            return bool(self._redis.zcard(self._keys.segment_suspects()))

    def renew(self, running: Sequence[RunningSegment], *, lease_s: float) -> tuple[str, ...]:
        stop: list[str] = []
        for some in _portions(running):
            flat = [part for each in some for part in (each.key, each.token, each.steps_done)]
            with translated():
                stop += [key.decode() for key in self._run("renew", lease_s, *flat)]
        return tuple(stop)

    def finish(self, key: str, token: int, *, blob: str, size_bytes: int, about: Mapping[str, object]) -> bool:
        with translated():
            return bool(self._run("finish", key, token, blob, size_bytes, as_json(dict(about))))

    def fail(self, key: str, token: int, error: ErrorInfo) -> bool:
        with translated():
            return bool(self._run("fail", key, token, error.code.value, error.detail))

    def release(self, key: str, token: int) -> bool:
        with translated():
            return bool(self._run("release", key, token))

    def leave(self, job_id: str) -> tuple[str, ...]:
        erased: list[str] = []
        left = 1
        while left:
            with translated():
                left, *blobs = self._run("leave", job_id, _A_CALL)
            erased += [blob.decode() for blob in blobs]
        return tuple(erased)

    def wanting(self) -> tuple[str, ...]:
        with translated():
            jobs: Any = self._redis.smembers(self._keys.segments_wanting())
        return tuple(sorted(job.decode() for job in jobs))

    def bury(self, worker: str, pid: int) -> int:
        with translated():
            return int(self._run("bury", worker, pid))

    def recover(self, *, max_attempts: int = 2, limit: int = 100, buried_only: bool = False) -> Recovered:
        blame = (LOST.code.value, LOST.detail, QUARANTINE_S)
        with translated():
            found = self._run("recover", max_attempts, limit, *blame, int(buried_only))
        requeued, given_up = (tuple(key.decode() for key in keys) for keys in found)
        return Recovered(requeued, given_up)

    def forget(self, key: str) -> None:
        with translated():
            self._run("forget", key)

    def trim(self, *, max_bytes: int, older_than_s: float, limit: int = 200) -> tuple[str, ...]:
        with translated():
            return tuple(blob.decode() for blob in self._run("trim", max_bytes, older_than_s, limit))

    def delete_voice(self, voice_id: str) -> tuple[str, ...]:
        with translated():
            return tuple(blob.decode() for blob in self._run("delete_voice", voice_id))

    def stats(self) -> SegmentStats:
        keys = self._keys
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            for priority in Priority:
                pipe.zcard(keys.segment_queue(priority))
            pipe.zcard(keys.segment_suspects())
            pipe.zcard(keys.segment_leases())
            pipe.zcard(keys.segments_used())
            pipe.hgetall(keys.segment_stats())
            interactive, batch, suspects, running, kept, stats = pipe.execute()
        counts = {name: int(value) for name, value in decoded(stats).items()}
        return SegmentStats(
            queued=interactive + batch + suspects,
            running=running,
            kept=kept,
            size_bytes=counts.get("bytes", 0),
            rendered=counts.get("rendered", 0),
        )

    def _run(self, script: str, *arguments: str | float) -> Any:  # Any: the script's own
        keys = self._keys
        listed = [
            *(keys.segment_queue(priority) for priority in (Priority.INTERACTIVE, Priority.BATCH)),
            keys.segment_leases(),
            keys.segments_used(),
            keys.segment_stats(),
            keys.segment_tokens(),
            keys.events(),
            keys.segments_wanting(),
            keys.segment_suspects(),
        ]
        now_s = "" if self._clock is None else repr(self._clock())
        starts = (keys.segment(""), keys.segments_of(""), keys.segments_of_voice(""))
        return self._scripts[script](keys=listed, args=[now_s, *starts, *arguments])


def _portions(items: Sequence[Any]) -> list[Sequence[Any]]:  # Any: of either kind of segment
    return [items[at : at + _A_CALL] for at in range(0, len(items), _A_CALL)]


def _record(fields: Mapping[str, str]) -> SegmentRecord:
    error = None
    if "error_code" in fields:
        error = ErrorInfo(_code(fields["error_code"]), fields.get("error_detail", ""))
    return SegmentRecord(
        key=fields["key"],
        status=SegmentStatus(fields["status"]),
        job_id=fields["job_id"],
        index=int(fields["index"]),
        priority=Priority(fields["priority"]),
        attempts=int(fields["attempts"]),
        token=int(fields["token"]),
        worker=fields.get("worker"),
        steps_done=int(fields.get("steps_done", 0)),
        error=error,
        blob=fields.get("blob"),
        size_bytes=int(fields.get("size_bytes", 0)),
        about=json.loads(fields.get("about", "{}")),
    )


def _code(text: str) -> ErrorCode:
    try:
        return ErrorCode(text)
    except ValueError:  # written by a newer release
        return ErrorCode.INTERNAL
