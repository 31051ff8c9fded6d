"""create_app: the whole wiring of the API process on one screen.  Opens no connection; starts no thread."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask
from flask.json.provider import DefaultJSONProvider
from flask_cors import CORS

from contract.metrics import Metrics
from contract.redis_keys import RedisKeys
from contract.settings import Settings
from contract.stores.connection import connect
from contract.stores.interfaces import Stores
from contract.stores.opening import open_stores
from contract.tracing import NoTracing, Tracing
from megatts3_server import (
    api_document,
    auth,
    body_limits,
    client_address,
    problems,
    rate_limit,
    request_id,
    request_log,
    request_metrics,
    request_trace,
    routes,
    services,
    wsgi_layers,
)
from megatts3_server.dispatch import Dispatch
from megatts3_server.planning import Planning
from megatts3_server.services import Services
from megatts3_server.submission import Submission
from megatts3_server.token_bucket import Buckets, RedisBuckets
from megatts3_server.voice_registration import VoiceRegistration
from megatts3_server.waiting import WaitRoom
from megatts3_server.workers_view import WorkersView

_EXPOSED = (
    *(
        "X-Request-ID",
        "X-Job-ID",
        "X-Cache",
        "X-Audio-Duration",
        "X-Audio-Sample-Rate",
        "X-RTF",
        "X-Warnings",
    ),
    *("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
    *("Server-Timing", "Location", "Retry-After", "ETag", "Content-Range", "Accept-Ranges"),
)


@dataclass(frozen=True)
class Links:
    """What the API reaches other processes through, besides the stores."""

    dispatch: Dispatch
    buckets: Buckets


def open_links(settings: Settings) -> Links:
    from megatts3_server.celery_dispatch import CeleryDispatch  # noqa: PLC0415 - see there

    return Links(CeleryDispatch(settings), RedisBuckets(connect(settings.redis)))


class ReadableJson(DefaultJSONProvider):
    """Chinese as Chinese; half a surrogate pair, which no UTF-8 can carry, as a question mark."""

    ensure_ascii = False
    sort_keys = False

    def dumps(self, obj: Any, **how: Any) -> str:  # Any: as Flask declares it
        return super().dumps(obj, **how).encode("utf-8", "replace").decode()


class Api(flask.Flask):
    """No view of ours is a coroutine, and asking each function at each request takes as long as some views."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:  # Any: views and hooks, as Flask declares
        return func


def create_app(
    settings: Settings,
    stores: Stores | None = None,
    links: Links | None = None,
    *,
    metrics: Metrics | None = None,
    tracing: Tracing | None = None,
) -> flask.Flask:
    """The app.  `stores` and `links` None: those of the settings; tests hand in the in-memory twins."""
    stores = stores or open_stores(settings)
    links = links or open_links(settings)
    workers = WorkersView(stores.workers, stores.jobs, stores.canary)
    wait_room = WaitRoom(stores.events)
    submission = Submission(
        settings,
        stores,
        dispatch=links.dispatch,
        wait_room=wait_room,
        workers=workers,
        clock=stores.now,
    )
    planning = Planning(settings.jobs, stores, dispatch=links.dispatch, wait_room=wait_room, workers=workers)
    voices = VoiceRegistration(stores, dispatch=links.dispatch, wait_room=wait_room, workers=workers)

    app = Api(__name__, static_folder=None)
    _configure(app)
    request_id.register(app)
    request_log.register(app)
    request_metrics.register(app, metrics or Metrics())
    request_trace.register(app, tracing or NoTracing())
    services.install(app, Services(settings, stores, submission, planning, voices, workers, wait_room))
    keys = auth.configured(settings.api)
    auth.say_who_may(settings.api, keys)
    auth.register(app, keys)
    rate_limit.register(
        app,
        settings.api.rate_limit,
        links.buckets,
        key_prefix=RedisKeys(settings.redis.prefix).rate(),
        keys=tuple(keys.values()),
    )
    problems.register(app)
    body_limits.configure(app, settings)  # after the rate limit: a flood of too large bodies counts as well
    routes.register(api_document.create(app))
    app.after_request(routes.tell_methods)
    _allow_origins(app, settings)
    layered = wsgi_layers.plain_path(app.wsgi_app)
    layered = client_address.behind_proxies(layered, settings.api.trusted_proxies)
    layered = wsgi_layers.read_to_the_end(layered, max_bytes=2 * settings.api.max_request_bytes)
    app.wsgi_app = layered  # type: ignore[method-assign,assignment] # Flask's documented seam
    return app


def _configure(app: flask.Flask) -> None:
    app.url_map.strict_slashes = False  # no redirects, ever: a known client turns a redirected POST into GET
    app.url_map.merge_slashes = False
    app.config["PROPAGATE_EXCEPTIONS"] = False  # problems.py answers, in tests too
    app.json = ReadableJson(app)


def _allow_origins(app: flask.Flask, settings: Settings) -> None:
    cors = settings.api.cors
    if cors.enabled:
        CORS(
            app,
            origins=list(cors.origins),
            send_wildcard="*" in cors.origins,
            methods=list(cors.methods),
            allow_headers=list(cors.headers),
            expose_headers=list(_EXPOSED),
            max_age=600,
        )
