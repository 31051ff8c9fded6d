"""The canary's verdict in Redis, and whose turn it is to speak the next sentence."""

from __future__ import annotations

from typing import Any

from redis import Redis

from contract.canary import CanaryVerdict, verdict_fields, verdict_from_fields
from contract.redis_keys import RedisKeys
from contract.stores.connection import decoded, translated


class RedisCanaryBoard:
    """See interfaces.CanaryBoard."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis, self._keys = redis, keys

    def take_turn(self, *, for_s: float) -> bool:
        with translated():
            return bool(self._redis.set(self._keys.canary_turn(), "1", nx=True, px=max(1, int(for_s * 1000))))

    def post(self, verdict: CanaryVerdict, *, ttl_s: float) -> None:
        fields: Any = verdict_fields(verdict)
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._keys.canary())
            pipe.hset(self._keys.canary(), mapping=fields)
            pipe.pexpire(self._keys.canary(), int(ttl_s * 1000))
            pipe.execute()

    def read(self) -> CanaryVerdict | None:
        with translated():
            fields = decoded(self._redis.hgetall(self._keys.canary()))
        return verdict_from_fields(fields) if "at" in fields else None
