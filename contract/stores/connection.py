"""Redis clients with time limits, and the translation of their errors.

redis-py's own default of 5 s for every answer breaks blocking commands, so those get a client of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources

from redis import Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from contract.errors import ErrorCode, ServiceError
from contract.settings import RedisSettings

Clock = Callable[[], float]
AWAY = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError)
RETRY_AFTER_S = 5.0
BRIEFLY_S = 1.0
_CANNOT_PERSIST = "MISCONF"


def connect(settings: RedisSettings, *, url: str | None = None, blocking: bool = False) -> Redis:
    """A client that answers bytes; opens its connections when they are needed.

    blocking: for commands that wait on the server; no time limit on the answer.
    """
    return Redis.from_url(
        url or settings.url,
        socket_timeout=None if blocking else settings.timeout_s,
        socket_connect_timeout=settings.connect_timeout_s,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3),
    )


def connect_briefly(settings: RedisSettings, *, url: str | None = None) -> Redis:
    """A client for what may as well be missing: one try, no longer than a second for each answer."""
    return Redis.from_url(
        url or settings.url,
        socket_timeout=min(settings.timeout_s, BRIEFLY_S),
        socket_connect_timeout=min(settings.connect_timeout_s, BRIEFLY_S),
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), retries=1),  # once more at once: the server may have closed an idle connection
    )


@contextmanager
def translated() -> Iterator[None]:
    """Redis away → STORE_UNAVAILABLE, Redis full → STORAGE_FULL; a mistake of ours stays what it is."""
    try:
        yield
    except AWAY as error:
        raise ServiceError(ErrorCode.STORE_UNAVAILABLE, retry_after_s=RETRY_AFTER_S) from error
    except OutOfMemoryError as error:
        raise ServiceError(ErrorCode.STORAGE_FULL) from error
    except ResponseError as error:
        if _CANNOT_PERSIST not in str(error):
            raise
        raise ServiceError(ErrorCode.STORAGE_FULL) from error  # its disk is full; it takes writes again by itself


def lua(*names: str) -> str:
    """The text of scripts of this package, one after another."""
    folder = resources.files("contract.stores") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)


def decoded(pairs: object) -> dict[str, str]:
    """HGETALL's answer, whether a mapping or, from Lua, a flat list."""
    if isinstance(pairs, dict):
        items = list(pairs.items())
    elif isinstance(pairs, list):
        items = list(zip(pairs[::2], pairs[1::2], strict=True))
    else:
        raise TypeError(f"not a hash: {type(pairs).__name__}")
    return {_text(name): _text(value) for name, value in items}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


__all__ = ["AWAY", "Clock", "RedisError", "connect", "connect_briefly", "decoded", "lua", "translated"]
