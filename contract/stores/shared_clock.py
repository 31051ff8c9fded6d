"""One clock for all machines: this host's, corrected by what the Redis server says.

A deadline is stamped by one machine and looked at by another; hosts whose clocks differ must agree on it.
"""

from __future__ import annotations

import threading
import time

from redis import Redis
from redis.exceptions import RedisError

from contract.stores.connection import Clock

ASK_AGAIN_S = 60.0
ASK_AGAIN_AFTER_FAILURE_S = 5.0


class SharedClock:
    """Unix seconds of the Redis server.  With Redis away the last known difference stays; at first there is none."""

    def __init__(self, redis: Redis, *, host: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        self._redis, self._host, self._monotonic = redis, host, monotonic
        self._lock = threading.Lock()
        self._ahead_s = 0.0  # the server's clock before ours
        self._ask_at = float("-inf")

    def __call__(self) -> float:
        with self._lock:
            is_due = self._monotonic() >= self._ask_at
            if is_due:
                self._ask_at = self._monotonic() + ASK_AGAIN_AFTER_FAILURE_S  # others need not wait for us
        if is_due:
            self._ask()
        return self._host() + self._ahead_s

    def _ask(self) -> None:
        before = self._host()
        try:
            seconds, microseconds = self._redis.time()
        except RedisError:
            return
        middle = (before + self._host()) / 2
        with self._lock:
            self._ahead_s = seconds + microseconds / 1e6 - middle
            self._ask_at = self._monotonic() + ASK_AGAIN_S
