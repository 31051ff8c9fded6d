"""Requests per minute, per API key or else per client address.

flask-limiter decides whom and when (exemptions, keys, hooks); how much is decided by our own storage behind
it.  The reason: the promise is a *token bucket* (30 a minute flow in, 10 may come at once), and none of
flask-limiter's strategies is one: its windows either let the whole minute's 30 through at once or have no
notion of a burst.  `limits` has a documented seam for storages, so the bucket goes there, and is one Lua
script in Redis, exact over all processes.

What is counted: a request that makes work costs one; a look (GET, HEAD) costs a tenth, so that polling a job
as we told the client to does not eat its right to submit.  Health, the API's description and CORS preflights
cost nothing.

While Redis is away each process counts for itself: the limit is then at most `workers` times as wide, and
nobody is refused, or let through without limit, because of our own trouble.
"""

import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask
import redis
from flask_limiter import Limiter, RequestLimit
from limits.storage import MovingWindowSupport, Storage

from contract.api_keys import ApiKey
from contract.errors import ErrorCode, ServiceError
from contract.settings import RateLimitSettings
from contract.telemetry import event_log
from megatts3_server import auth
from megatts3_server.token_bucket import Bucket, Buckets, MemoryBuckets, Take

log = event_log(__name__)

_LOOK = 1  # tokens a GET costs
_WORK = 10  # tokens a request that makes work costs: settings speak of these
_MINUTE_S = 60
_SCHEME = "megatts3-bucket"
_AWAY_LOG_S = 10.0


@dataclass(frozen=True)
class Limits:
    """How wide a caller's bucket is: its API key's own figures, an override of the settings, or everybody's."""

    settings: RateLimitSettings
    keys: tuple[ApiKey, ...] = ()

    def bucket(self, key: str) -> Bucket:
        """An override without a burst of its own widens the burst in proportion."""
        base, own = self.settings, self._own(key)
        per_minute = (own and own.requests_per_minute) or self._override(key, own) or base.requests_per_minute
        burst: float = max(base.burst_size, base.burst_size * per_minute / base.requests_per_minute)
        if own is not None and own.burst_size is not None:
            burst = own.burst_size
        return Bucket(capacity=burst * _WORK, refill_per_s=per_minute * _WORK / _MINUTE_S)

    def _own(self, key: str) -> ApiKey | None:
        kind, _, name = key.partition(":")
        return next((k for k in self.keys if k.id == name), None) if kind == "key" else None

    def _override(self, key: str, own: ApiKey | None) -> int | None:
        kind, _, name = key.partition(":")
        if kind == "key":
            by_name = None if own is None else self.settings.overrides.get(own.name)
            return by_name or self.settings.overrides.get(name)
        address = ipaddress.ip_address(name)
        for network, per_minute in self.settings.overrides.items():
            try:
                if address in ipaddress.ip_network(network, strict=False):
                    return per_minute
            except ValueError:  # this override names an API key, not a network
                continue
        return None


class BucketStorage(Storage, MovingWindowSupport):
    """The seam of `limits`: what it calls a moving window's entries are our bucket's tokens."""

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012 - declared by the base, as an instance variable

    def __init__(self, uri: str, *, buckets: Buckets, limits: Limits, key_prefix: str, **_: object) -> None:
        super().__init__(uri)
        self._buckets = buckets
        self._own = MemoryBuckets()
        self._limits = limits
        self._prefix = key_prefix
        self._away_logged_at = -math.inf

    @property
    def base_exceptions(self) -> type[Exception]:
        return redis.RedisError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:  # noqa: ARG002 - the seam's
        """Take tokens; hold the request back up to `max_wait_s` rather than refuse it."""
        who = who_asks()
        bucket, max_wait_s = self._limits.bucket(who), self._limits.settings.max_wait_s
        try:
            take = self._buckets.take(self._prefix + who, bucket, cost=amount, max_wait_s=max_wait_s)
        except redis.RedisError:
            self._say_away()
            take = self._own.take(who, bucket, cost=amount, max_wait_s=max_wait_s)
        flask.g.rate_limit = Told(bucket, take)
        if take.allowed and take.wait_s > 0:
            time.sleep(take.wait_s)  # a greenlet under gevent: it holds up nobody else
        return take.allowed

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002 - the seam's
        """Not asked: headers and tests of a window are off; the bucket's own answer is on the request."""
        return time.time(), 0

    def _say_away(self) -> None:
        now = time.monotonic()
        if now - self._away_logged_at > _AWAY_LOG_S:
            self._away_logged_at = now
            log.warning("rate_limit_counts_alone")

    def check(self) -> bool:
        return True

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def reset(self) -> int | None:
        raise NotImplementedError

    def clear(self, key: str) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Told:
    """What this request's take said, for the headers."""

    bucket: Bucket
    take: Take


def register(
    app: flask.Flask,
    settings: RateLimitSettings,
    buckets: Buckets,
    *,
    key_prefix: str,
    keys: tuple[ApiKey, ...] = (),
) -> None:
    """Limit every request of the app, but for views marked with `exempt`; say how much is left."""
    if not settings.enabled:
        return
    Limiter(
        key_func=who_asks,
        app=app,
        storage_uri=f"{_SCHEME}://",
        storage_options=_options(buckets=buckets, limits=Limits(settings, keys), key_prefix=key_prefix),
        strategy="moving-window",
        default_limits=[f"{settings.requests_per_minute * _WORK}/minute"],
        default_limits_cost=_cost,
        default_limits_exempt_when=_is_exempt,
        on_breach=_refuse,
    )
    app.after_request(_tell)


def who_asks() -> str:
    """`key:<id>` or `address:<ip>`; an IPv6 client is its /64, or it would have buckets without end."""
    key_id = auth.key_id()
    if key_id is not None:
        return f"key:{key_id}"
    try:
        address = ipaddress.ip_address(flask.request.remote_addr or "127.0.0.1")
    except ValueError:  # a unix socket's peer has no address
        address = ipaddress.ip_address("127.0.0.1")
    if isinstance(address, ipaddress.IPv6Address):
        address = ipaddress.ip_network((address, 64), strict=False).network_address
    return f"address:{address}"


def exempt(view: Callable[..., Any]) -> Callable[..., Any]:  # Any: views answer in every form Flask takes
    """Mark a view that is never limited."""
    view.is_rate_limit_exempt = True  # type: ignore[attr-defined] # read back in _is_exempt
    return view


def _is_exempt() -> bool:
    view = flask.current_app.view_functions.get(flask.request.endpoint or "")
    return flask.request.method == "OPTIONS" or bool(getattr(view, "is_rate_limit_exempt", False))


def _cost() -> int:
    return _LOOK if flask.request.method in {"GET", "HEAD"} else _WORK


def _refuse(_breached: RequestLimit) -> None:
    told: Told = flask.g.rate_limit
    raise ServiceError(ErrorCode.RATE_LIMITED, retry_after_s=told.take.wait_s)


def _tell(response: flask.Response) -> flask.Response:
    """`RateLimit` and `RateLimit-Policy` as the IETF's draft has them, and the three of its older drafts.

    Counted in requests that make work: how many are left, and seconds until the bucket is full, or, while none is
    left, until there is one.
    """
    told: Told | None = flask.g.get("rate_limit")
    if told is None:
        return response
    bucket, tokens = told.bucket, told.take.tokens
    limit, left = int(bucket.capacity // _WORK), max(0, int(tokens // _WORK))
    wanted = bucket.capacity if left else float(_WORK)
    reset_s = max(0, math.ceil((wanted - tokens) / bucket.refill_per_s))
    per_minute = round(bucket.refill_per_s * _MINUTE_S / _WORK)
    headers = response.headers
    headers["RateLimit-Policy"] = f'"requests";q={per_minute};w={_MINUTE_S};burst={limit}'
    headers["RateLimit"] = f'"requests";r={left};t={reset_s}'
    headers["RateLimit-Limit"] = str(limit)
    headers["RateLimit-Remaining"] = str(left)
    headers["RateLimit-Reset"] = str(reset_s)
    return response


def _options(
    **options: Any,
) -> dict[str, Any]:  # Any: limits types storage options as text, and passes on anything
    return options
