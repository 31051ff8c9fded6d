"""Accepted means on disk: what is asked of Redis before a job's 202 is sent.

Redis answers a write before it is on disk, unless its append-only file is flushed with each one (`appendfsync
always`, as the built-in server runs by default).  Elsewhere a job's creation waits for WAITAOF, which Redis has since
7.2.  A server that can do neither, or keeps no such file, is told of once in the log: a crash of its machine may then
cost the jobs of its last second, a crash of Redis alone costs none of what it had written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum, unique
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoPermissionError, ResponseError

from contract.errors import ErrorCode, ServiceError
from contract.telemetry import event_log

log = event_log(__name__)

ASK_AGAIN_S = 60.0  # the server's policy may be changed while it runs
WAITAOF_SINCE = (7, 2)  # Valkey says 7.2 here, too
PATIENCE_MS = 4000  # for one flush; below the time a client waits for any answer of Redis


@unique
class Promise(StrEnum):
    """What the server's word on a write is worth."""

    ALWAYS = "always"  # it is on disk when it is answered
    ON_REQUEST = "on_request"  # WAITAOF says when it is
    EACH_SECOND = "each_second"  # it will be within a second or two
    NEVER = "never"  # it keeps nothing, or leaves it to the operating system


class Durability:
    """What this Redis promises, and how to have a write on disk.  Asked again once a minute."""

    def __init__(self, redis: Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._redis, self._monotonic = redis, monotonic
        self._lock = threading.Lock()
        self._promise: Promise | None = None
        self._asked_at = 0.0

    @property
    def promise(self) -> Promise:
        """Raises RedisError when the server is away."""
        with self._lock:
            known, fresh = self._promise, self._monotonic() - self._asked_at < ASK_AGAIN_S
        if known is not None and fresh:
            return known
        found = self._ask()
        with self._lock:
            is_news, self._promise, self._asked_at = found is not self._promise, found, self._monotonic()
        if is_news and found in {Promise.EACH_SECOND, Promise.NEVER}:
            log.warning("accepted_jobs_may_be_lost", redis_writes_to_disk=found.value)
        return found

    def run(self, write: Callable[[Redis], Any]) -> Any:  # Any: whatever the write answers
        """Do one write with the given client and return its answer once it is as safe as it gets.

        ServiceError(STORE_UNAVAILABLE) when the disk does not follow: nobody may be told that it was accepted.
        """
        if self.promise is not Promise.ON_REQUEST:
            return write(self._redis)
        with self._redis.pipeline(transaction=False) as pipe:  # one connection: WAITAOF is about its own writes
            write(pipe)
            _wait(pipe)
            answer, flushed = pipe.execute()
        if flushed[0] < 1:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE, "the job could not be written to disk in time")
        return answer

    def _ask(self) -> Promise:
        try:
            policy = {**self._config("appendonly"), **self._config("appendfsync")}
        except (ResponseError, NoPermissionError):  # a managed server tells nobody its configuration
            policy = {"appendonly": "yes", "appendfsync": "everysec"}
        if policy.get("appendonly") != "yes":
            return Promise.NEVER
        if policy.get("appendfsync") == "always":
            return Promise.ALWAYS
        if self._has_waitaof():
            return Promise.ON_REQUEST
        return Promise.EACH_SECOND if policy.get("appendfsync") == "everysec" else Promise.NEVER

    def _config(self, name: str) -> dict[str, str]:
        found: Any = self._redis.config_get(name)  # Any: as redis-py types it
        return {_text(key): _text(value) for key, value in found.items()}

    def _has_waitaof(self) -> bool:
        info: Any = self._redis.info("server")  # Any: as redis-py types it
        major, minor, *_ = str(info.get("redis_version", "0.0")).split(".")
        return (int(major), int(minor)) >= WAITAOF_SINCE


def _wait(pipe: Pipeline) -> None:
    ask: Any = pipe.execute_command  # Any: redis-py gives it no types
    ask("WAITAOF", 1, 0, PATIENCE_MS)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
