"""How many callers want a job's result, over all processes: the last one to hang up cancels it.

Equal requests share one job, so one client's going away says nothing about the others.  A caller who
was given the job's id counts for good: it may come back.  Not here: waiting itself (waiting.py).
"""

import threading
from typing import Protocol

import redis

from contract.redis_keys import RedisKeys

_JOIN = """
local wanted = tonumber(redis.call('GET', KEYS[1]) or 1) + 1
redis.call('SET', KEYS[1], wanted, 'EX', ARGV[1])
return wanted
"""
_LEAVE = """
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
return redis.call('DECR', KEYS[1])
"""
_KEEP_S = 86_400  # longer than any job is waited for; an abandoned count errs towards letting the job go on


class Waiters(Protocol):
    """A job counts one caller from the start: who made it.  So a job nobody shares is written nowhere."""

    def join(self, job_id: str) -> None:
        """One more caller wants this job, which another made."""

    def leave(self, job_id: str) -> bool:
        """One caller of a live job less; True when nobody is left who wants it."""


class RedisWaiters:
    """A counter per job that more than one wanted.  Errors are swallowed into "somebody else may want it": a job done
    in vain is the lesser evil.
    """

    def __init__(self, client: redis.Redis, keys: RedisKeys) -> None:
        self._keys = keys
        self._join, self._leave = client.register_script(_JOIN), client.register_script(_LEAVE)

    def join(self, job_id: str) -> None:
        try:
            self._join(keys=[self._keys.job_waiters(job_id)], args=[_KEEP_S])
        except redis.RedisError:
            return

    def leave(self, job_id: str) -> bool:
        try:
            return int(self._leave(keys=[self._keys.job_waiters(job_id)])) <= 0
        except redis.RedisError:
            return False


class MemoryWaiters:
    """The twin for one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}

    def join(self, job_id: str) -> None:
        with self._lock:
            self._counts[job_id] = self._counts.get(job_id, 1) + 1

    def leave(self, job_id: str) -> bool:
        with self._lock:
            left = self._counts.get(job_id, 1) - 1
            if job_id in self._counts:
                self._counts[job_id] = left
            return left <= 0
