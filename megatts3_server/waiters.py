"""How many callers want a job's result, over all processes: the last one to hang up cancels it.

Equal requests share one job, so one client's going away says nothing about the others.  A caller who
was given the job's id counts for good: it may come back.  Not here: waiting itself (waiting.py).
"""

import threading
from collections import Counter
from typing import Protocol

import redis

from contract.redis_keys import RedisKeys

_KEEP_S = 86_400  # longer than any job is waited for; an abandoned count errs towards letting the job go on


class Waiters(Protocol):
    def join(self, job_id: str) -> None:
        """One more caller wants this job."""

    def leave(self, job_id: str) -> bool:
        """One caller less; True when nobody is left who wants it."""


class RedisWaiters:
    """A counter per job.  Errors are swallowed into "somebody else may want it": a job done in vain is the
    lesser evil.
    """

    def __init__(self, client: redis.Redis, keys: RedisKeys) -> None:
        self._client, self._keys = client, keys

    def join(self, job_id: str) -> None:
        key = self._keys.job_waiters(job_id)
        try:
            with self._client.pipeline() as pipe:
                pipe.incr(key)
                pipe.expire(key, _KEEP_S)
                pipe.execute()
        except redis.RedisError:
            return

    def leave(self, job_id: str) -> bool:
        try:
            return self._client.decr(self._keys.job_waiters(job_id)) <= 0
        except redis.RedisError:
            return False


class MemoryWaiters:
    """The twin for one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def join(self, job_id: str) -> None:
        with self._lock:
            self._counts[job_id] += 1

    def leave(self, job_id: str) -> bool:
        with self._lock:
            self._counts[job_id] -= 1
            return self._counts[job_id] <= 0
