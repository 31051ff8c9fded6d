"""API keys: with none configured the service is open; with some, `/api/` and `/v1/` need one of them.

A key comes as `Authorization: Bearer …` or `X-API-Key: …`, and may do what its scopes say.  Its id is a part of its
hash, which may be logged and stored.  Not here: how the settings name keys (contract/api_keys.py).
"""

import ipaddress
from collections.abc import Callable
from typing import Any

import flask

from contract.api_keys import ApiKey, Scope, digest_of, named_key
from contract.errors import ErrorCode, ServiceError
from contract.settings import ApiSettings
from contract.telemetry import event_log

log = event_log(__name__)

_GUARDED = ("/api/", "/v1/")


def configured(settings: ApiSettings) -> dict[str, ApiKey]:
    """All keys by their hash.  A name of the file wins over the same key in the environment."""
    keys = (*(named_key(entry) for entry in settings.keys), *settings.file_keys)
    return {key.digest: key for key in keys}


def register(app: flask.Flask, keys: dict[str, ApiKey]) -> None:
    """Check each request's key before anything else is done with it."""

    def check() -> None:
        flask.g.api_key = None
        if not keys:
            return
        offered = _offered()
        # Looked up by hash: how long that takes says something of a hash, and nothing of a key.
        key = None if offered is None else keys.get(digest_of(offered))
        flask.g.api_key = key
        if not flask.request.path.startswith(_GUARDED) or flask.request.method == "OPTIONS":
            return
        if key is None:
            raise ServiceError(ErrorCode.UNAUTHORIZED)
        if (wanted := _wanted_scope()) not in key.scopes:
            raise ServiceError(ErrorCode.FORBIDDEN, f"This key may not do this: it lacks the scope {wanted}.")

    app.before_request(check)


def say_who_may(settings: ApiSettings, keys: dict[str, ApiKey]) -> None:
    """The line of the start-up log that nobody should have to guess."""
    if keys:
        log.info("api_keys_on", keys=len(keys))
    elif is_loopback(settings.host):
        log.info("api_keys_off", host=settings.host, reach="this machine")
    else:
        log.warning("api_keys_off", host=settings.host, reach="everybody who can reach this address")


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_key() -> ApiKey | None:
    """The key this request came with; None on an open service."""
    found: ApiKey | None = getattr(flask.g, "api_key", None)
    return found


def key_id() -> str | None:
    """Its id."""
    key = api_key()
    return None if key is None else key.id


def needs(scope: Scope) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # Any: views answer in every form
    """Mark a view with the scope a key needs for it."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        view.scope = scope  # type: ignore[attr-defined] # read back in _wanted_scope
        return view

    return mark


def _wanted_scope() -> Scope:
    view = flask.current_app.view_functions.get(flask.request.endpoint or "")
    return getattr(view, "scope", Scope.READ)  # an unknown address: any reader may learn that it is none


def _offered() -> str | None:
    direct = flask.request.headers.get("X-API-Key")
    if direct:
        return direct
    scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
