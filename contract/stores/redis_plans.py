"""Plans in Redis: a hash a question, which expires by itself."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis

from contract.errors import ErrorCode, ErrorInfo
from contract.records import as_json, job_fields, job_from_fields
from contract.redis_keys import RedisKeys
from contract.schemas import Job
from contract.stores.connection import decoded, translated
from contract.stores.interfaces import Event, EventKind
from contract.stores.plans import ANSWER_KEPT_S, PlanAnswer


class RedisPlanBoard:
    """See plans.PlanBoard."""

    def __init__(self, redis: Redis, keys: RedisKeys) -> None:
        self._redis, self._keys = redis, keys

    def ask(self, job: Job, *, ttl_s: float) -> None:
        self._write(job.id, "job", as_json(job_fields(job)), ttl_s=ttl_s)

    def asked(self, plan_id: str) -> Job | None:
        found = self._read(plan_id, "job")
        return None if found is None else job_from_fields(found)

    def answer(self, plan_id: str, answer: PlanAnswer) -> None:
        fields: dict[str, Any] = {"plan": answer.plan}  # Any: what JSON holds
        if answer.error is not None:
            fields = {"error_code": answer.error.code.value, "error_detail": answer.error.detail}
        self._write(plan_id, "answer", as_json(fields), ttl_s=ANSWER_KEPT_S)
        with translated():
            self._redis.publish(self._keys.events(), as_json(Event(EventKind.PLAN, plan_id, "answered")))

    def answered(self, plan_id: str) -> PlanAnswer | None:
        found = self._read(plan_id, "answer")
        if found is None:
            return None
        if "error_code" in found:
            return PlanAnswer(error=ErrorInfo(_code(found["error_code"]), found["error_detail"]))
        return PlanAnswer(plan=found["plan"])

    def withdraw(self, plan_id: str) -> None:
        with translated():
            self._redis.delete(self._keys.plan(plan_id))

    def _write(self, plan_id: str, name: str, value: str, *, ttl_s: float) -> None:
        key = self._keys.plan(plan_id)
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key, name, value)
            pipe.pexpire(key, max(1, int(ttl_s * 1000)))
            pipe.execute()

    def _read(self, plan_id: str, name: str) -> Any:  # Any: what JSON holds
        with translated():
            found = decoded(self._redis.hgetall(self._keys.plan(plan_id))).get(name)
        return None if found is None else json.loads(found)


def _code(value: str) -> ErrorCode:
    try:
        return ErrorCode(value)
    except ValueError:  # written by a newer release
        return ErrorCode.INTERNAL
