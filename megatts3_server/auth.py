"""API keys: with none configured the service is open; with some, `/api/` and `/v1/` need one of them.

A key comes as `Authorization: Bearer …` or `X-API-Key: …`.  Its id is a hash, which may be logged and stored.
"""

import hashlib
import hmac

import flask

from contract.errors import ErrorCode, ServiceError

_GUARDED = ("/api/", "/v1/")
_ID_CHARACTERS = 12


def register(app: flask.Flask, keys: tuple[str, ...]) -> None:
    """Check each request's key before anything else is done with it."""
    by_id = {id_of(key): key for key in keys}

    def check() -> None:
        flask.g.key_id = None
        if not by_id:
            return
        offered = _offered()
        for key_id, key in by_id.items():
            if offered is not None and hmac.compare_digest(offered.encode(), key.encode()):
                flask.g.key_id = key_id
        guarded = flask.request.path.startswith(_GUARDED) and flask.request.method != "OPTIONS"
        if guarded and flask.g.key_id is None:
            raise ServiceError(ErrorCode.UNAUTHORIZED)

    app.before_request(check)


def key_id() -> str | None:
    """Id of the key this request came with; None on an open service."""
    found: str | None = getattr(flask.g, "key_id", None)
    return found


def id_of(key: str) -> str:
    """A key's name for logs, limits and job records."""
    return hashlib.sha256(key.encode()).hexdigest()[:_ID_CHARACTERS]


def _offered() -> str | None:
    direct = flask.request.headers.get("X-API-Key")
    if direct:
        return direct
    scheme, _, token = flask.request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
