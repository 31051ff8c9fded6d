"""Due webhooks in Redis; lua/jobs_prelude.lua adds one as its job ends."""

from __future__ import annotations

from typing import Any

from redis import Redis

from contract.redis_keys import RedisKeys
from contract.stores.connection import Clock, lua, translated
from contract.stores.webhooks import Delivery


class RedisWebhookStore:
    """See webhooks.WebhookStore.  clock: for tests; None is the server's."""

    def __init__(self, redis: Redis, keys: RedisKeys, *, clock: Clock | None = None) -> None:
        self._keys, self._clock = keys, clock
        self._claim = redis.register_script(lua("clock", "webhooks_prelude", "webhooks_claim"))
        self._settle = redis.register_script(lua("clock", "webhooks_prelude", "webhooks_settle"))

    def claim(self, *, lease_s: float, limit: int) -> tuple[Delivery, ...]:
        found = self._run(self._claim, lease_s, limit)
        return tuple(Delivery(job_id.decode(), attempt) for job_id, attempt in found)

    def retry(self, delivery: Delivery, *, after_s: float) -> bool:
        return bool(self._run(self._settle, delivery.job_id, delivery.attempt, after_s))

    def close(self, delivery: Delivery) -> bool:
        return bool(self._run(self._settle, delivery.job_id, delivery.attempt, ""))

    def _run(self, script: Any, *arguments: str | float) -> Any:  # Any: the script's own
        keys = [self._keys.webhooks_due(), self._keys.webhook_attempts()]
        now_s = "" if self._clock is None else repr(self._clock())
        with translated():
            return script(keys=keys, args=[now_s, *arguments])
