"""The request id: from `X-Request-ID` if that is clean, else made; sent back, logged, kept on the job."""

import contextlib

import flask

from contract.telemetry import accepted_request_id, bound_request_id

HEADER = "X-Request-ID"


def current() -> str:
    """This request's id; made at the first call."""
    known: str | None = getattr(flask.g, "request_id", None)
    if known is None:
        known = accepted_request_id(flask.request.headers.get(HEADER))
        flask.g.request_id = known
    return known


def register(app: flask.Flask) -> None:
    """Bind the id to everything that is logged while the request is served, and send it back."""
    app.before_request(_begin)
    app.after_request(_send_back)
    app.teardown_request(_end)


def _begin() -> None:
    flask.g.logged_as = contextlib.ExitStack()
    flask.g.logged_as.enter_context(bound_request_id(current()))


def _send_back(response: flask.Response) -> flask.Response:
    response.headers[HEADER] = current()
    return response


def _end(_error: BaseException | None) -> None:
    logged_as = flask.g.pop("logged_as", None)
    if logged_as is not None:
        logged_as.close()
