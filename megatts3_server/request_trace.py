"""One span a request, in the caller's trace where it names one."""

import contextlib

import flask

from contract.tracing import TRACE_HEADER, Tracing

_QUIET = frozenset({"/health", "/health/live", "/health/ready"})


def register(app: flask.Flask, tracing: Tracing) -> None:
    def begin() -> None:
        rule = flask.request.url_rule
        route = "unknown" if rule is None else rule.rule
        flask.g.traced_as = contextlib.ExitStack()
        if route not in _QUIET:
            name, parent = f"{flask.request.method} {route}", flask.request.headers.get(TRACE_HEADER)
            flask.g.traced_as.enter_context(tracing.span(name, parent=parent, route=route))

    def end(_error: BaseException | None) -> None:
        traced_as = flask.g.pop("traced_as", None)
        if traced_as is not None:
            traced_as.close()

    app.before_request(begin)
    app.teardown_request(end)
