"""Chunks of encoded audio on their way to the client, in a Redis stream per job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from redis import Redis

from contract.records import as_json
from contract.redis_keys import RedisKeys
from contract.schemas import JobStatus
from contract.stores.connection import translated
from contract.stores.interfaces import Chunk, Event, EventKind

_PAGE = 16  # chunks an answer has at most: a long speech is not read in one piece


class RedisChunkStream:
    """See interfaces.ChunkStream.  `blocking` is a client without a time limit on answers."""

    def __init__(self, redis: Redis, blocking: Redis, keys: RedisKeys, *, keep_s: int) -> None:
        self._redis = redis
        self._blocking = blocking
        self._keys = keys
        self._keep_s = keep_s

    def want(self, job_id: str) -> None:
        with translated():
            self._redis.set(self._keys.job_listeners(job_id), "1", ex=self._keep_s)

    def is_wanted(self, job_id: str) -> bool:
        with translated():
            return bool(self._redis.exists(self._keys.job_listeners(job_id)))

    def append(self, job_id: str, token: int, chunk: Chunk) -> None:
        key = self._keys.job_chunks(job_id)
        fields: dict[Any, Any] = {
            "token": token,
            "sequence": chunk.sequence,
            "data": chunk.data,
            "is_last": int(chunk.is_last),
            "about": as_json(dict(chunk.about)),
        }
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(key, fields, id=f"{token}-{chunk.sequence + 1}")
            pipe.expire(key, self._keep_s)
            pipe.publish(self._keys.events(), as_json(Event(EventKind.JOB, job_id, JobStatus.RUNNING.value)))
            pipe.execute()

    def read(self, job_id: str, token: int, *, after: int = -1, wait_s: float = 0.0) -> tuple[Chunk, ...]:
        key = self._keys.job_chunks(job_id)
        block = max(1, int(wait_s * 1000)) if wait_s > 0 else None
        client = self._redis if block is None else self._blocking
        with translated():
            answer: Any = client.xread({key: f"{token}-{after + 1}"}, count=_PAGE, block=block)
            if answer:
                self._redis.expire(key, self._keep_s)  # a slow listener's chunks stay while it listens
        entries = [entry for _, found in answer or () for entry in found]
        return tuple(_chunk(fields) for _, fields in entries if int(fields[b"token"]) == token)


def _chunk(fields: Mapping[bytes, bytes]) -> Chunk:
    return Chunk(
        sequence=int(fields[b"sequence"]),
        data=fields[b"data"],
        is_last=fields[b"is_last"] == b"1",
        about=json.loads(fields[b"about"]),
    )
