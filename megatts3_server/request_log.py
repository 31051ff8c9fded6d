"""One line per request: method, route, status, milliseconds.  Never the URL as it came: it may hold anything."""

import time

import flask

from contract.telemetry import event_log

log = event_log(__name__)

_QUIET = ("/health", "/health/live", "/health/ready")  # asked every few seconds, forever


def register(app: flask.Flask) -> None:
    app.before_request(arrive)
    app.after_request(_tell)


def arrived_at() -> float:
    """When the current request came, on the monotonic clock."""
    found: float = flask.g.arrived_at
    return found


def arrive() -> None:
    """Note that a request came."""
    flask.g.arrived_at = time.monotonic()


def _tell(response: flask.Response) -> flask.Response:
    rule = flask.request.url_rule
    route = "unknown" if rule is None else rule.rule
    tell = log.debug if route in _QUIET else log.info
    spent_ms = round((time.monotonic() - arrived_at()) * 1000, 1)
    tell("request_served", method=flask.request.method, route=route, status=response.status_code, ms=spent_ms)
    return response
