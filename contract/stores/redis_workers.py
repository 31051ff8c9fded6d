"""Workers' heartbeats in Redis: a hash that expires with the heartbeat, and an index of names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from redis import Redis

from contract.records import worker_fields, worker_from_fields
from contract.redis_keys import RedisKeys
from contract.schemas import WorkerState
from contract.stores.connection import Clock, decoded, translated


class RedisWorkerRegistry:
    """See interfaces.WorkerRegistry."""

    def __init__(self, redis: Redis, keys: RedisKeys, *, clock: Clock = time.time) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock

    def heartbeat(self, worker: WorkerState, *, ttl_s: float) -> None:
        now_s = self._clock()
        key = self._keys.worker(worker.name)
        fields: Mapping[Any, Any] = {**worker_fields(worker), "seen_at": f"{now_s:.3f}"}
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            pipe.hset(key, mapping=dict(fields))
            pipe.pexpire(key, int(ttl_s * 1000))
            pipe.zadd(self._keys.workers(), {worker.name: now_s + ttl_s})
            pipe.execute()

    def remove(self, name: str) -> None:
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.worker(name))
            pipe.zrem(self._keys.workers(), name)
            pipe.execute()

    def await_again(self, worker: WorkerState, *, ttl_s: float) -> None:
        fields: Mapping[Any, Any] = worker_fields(worker)
        key = self._keys.awaited_worker()
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            pipe.hset(key, mapping=dict(fields))
            pipe.pexpire(key, int(ttl_s * 1000))
            pipe.execute()

    def awaited(self) -> WorkerState | None:
        with translated():
            record = decoded(self._redis.hgetall(self._keys.awaited_worker()))
        return worker_from_fields(record) if "name" in record else None

    def list(self) -> tuple[WorkerState, ...]:
        now_s = self._clock()
        with translated():
            self._redis.zremrangebyscore(self._keys.workers(), "-inf", now_s)
            names: Any = self._redis.zrange(self._keys.workers(), 0, -1)
            with self._redis.pipeline(transaction=False) as pipe:
                for name in sorted(names):
                    pipe.hgetall(self._keys.worker(name.decode()))
                records = [decoded(record) for record in pipe.execute()]
        return tuple(worker_from_fields(record) for record in records if "name" in record)
