"""The token bucket: `capacity` tokens at most, refilled at a steady rate; exact over all processes.

In Redis a bucket is one hash `{tokens, at}` that a person can read with `HGETALL`; one Lua script reads the
server's clock, refills, and takes.  `MemoryBuckets` is the same arithmetic for one process: the twin in
tests, and the fallback while Redis is away.  Not here: who is limited, and what a limited client is told.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import redis

_TAKE = """
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local cost, max_wait = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(held[1]) or capacity, tonumber(held[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
local wait = math.max(0, (cost - tokens) / rate)
local taken = 0
if wait <= max_wait then
  tokens, taken = tokens - cost, 1
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate * 1000) + 1000)
end
return {taken, string.format('%.6f', wait), string.format('%.6f', tokens)}
"""


@dataclass(frozen=True)
class Bucket:
    """The shape of a bucket: tokens it holds when full, and tokens that flow in per second."""

    capacity: float
    refill_per_s: float


@dataclass(frozen=True)
class Take:
    """Answer to one take.  `wait_s`: until the tokens are there (0 = now); `tokens`: left, below 0 = lent."""

    allowed: bool
    wait_s: float
    tokens: float


class Buckets(Protocol):
    """Buckets by key."""

    def take(self, key: str, bucket: Bucket, *, cost: float, max_wait_s: float = 0.0) -> Take:
        """Take `cost` tokens, at once or on credit of at most `max_wait_s`; a refused take costs nothing."""


class RedisBuckets:
    """Buckets shared by every process.  Raises `redis.RedisError` when Redis is away."""

    def __init__(self, client: redis.Redis) -> None:
        self._take = client.register_script(_TAKE)

    def take(self, key: str, bucket: Bucket, *, cost: float, max_wait_s: float = 0.0) -> Take:
        answer = self._take(keys=[key], args=[bucket.capacity, bucket.refill_per_s, cost, max_wait_s])
        taken, wait_s, tokens = cast("tuple[int, bytes, bytes]", answer)
        return Take(bool(taken), float(wait_s), float(tokens))


class MemoryBuckets:
    """Buckets of this process alone.  Full ones are forgotten, so the table stays as small as the traffic."""

    _FORGET_ABOVE = 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, float, float]] = {}  # key → tokens, at, full again at

    def take(self, key: str, bucket: Bucket, *, cost: float, max_wait_s: float = 0.0) -> Take:
        with self._lock:
            now = self._clock()
            tokens, at, _ = self._held.get(key, (bucket.capacity, now, now))
            tokens = min(bucket.capacity, tokens + max(0.0, now - at) * bucket.refill_per_s)
            wait_s = max(0.0, (cost - tokens) / bucket.refill_per_s)
            if wait_s > max_wait_s:
                return Take(allowed=False, wait_s=wait_s, tokens=tokens)
            tokens -= cost
            full_at = now + (bucket.capacity - tokens) / bucket.refill_per_s
            if len(self._held) > self._FORGET_ABOVE:
                self._held = {k: held for k, held in self._held.items() if held[2] > now}
            self._held[key] = (tokens, now, full_at)
            return Take(allowed=True, wait_s=wait_s, tokens=tokens)
