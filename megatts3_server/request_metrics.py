"""What the API counts of its requests: how many, how long, which errors, when the first sound left."""

import time
from collections.abc import Callable, Iterable, Iterator

import flask

from contract.metrics import Metrics, guarded
from megatts3_server import request_log

_HEADER_BYTES = 44  # of a WAV file: bytes up to here are not sound yet
_UNKNOWN = "unknown"


def register(app: flask.Flask, metrics: Metrics) -> None:
    """After every answer.  Routes are told by their rule, never by the URL as it came."""

    def note(response: flask.Response) -> flask.Response:
        guarded(lambda: _note(metrics, response))
        return response

    app.after_request(note)


def _note(metrics: Metrics, response: flask.Response) -> None:
    rule = flask.request.url_rule
    route, status = _UNKNOWN if rule is None else rule.rule, str(response.status_code)
    spent_s = time.monotonic() - request_log.arrived_at()
    metrics.requests.labels(flask.request.method if rule else _UNKNOWN, route, status).observe(spent_s)
    metrics.throughput.labels(route, status).inc()
    if response.status_code >= 400:
        metrics.errors.labels(route, flask.g.get("error_code", _UNKNOWN)).inc()
    elif flask.request.method == "POST" and (response.mimetype or "").startswith("audio/"):
        _note_first_audio(metrics, response)


def _note_first_audio(metrics: Metrics, response: flask.Response) -> None:
    """Now for an answer that goes out whole; at its first sound for one that is still being made."""
    arrived_at = request_log.arrived_at()
    first = metrics.first_audio.labels(response.headers.get("X-Cache", "none"))
    if response.is_streamed:
        response.response = Observed(response.iter_encoded(), lambda: first.observe(time.monotonic() - arrived_at))
    else:
        first.observe(time.monotonic() - arrived_at)


class Observed(Iterator[bytes]):
    """The same chunks; calls back once at the first that holds more than a file's header."""

    def __init__(self, chunks: Iterable[bytes], first_sound: Callable[[], object]) -> None:
        self._chunks, self._given, self._told = iter(chunks), 0, False
        self._first_sound = first_sound

    def __next__(self) -> bytes:
        chunk = next(self._chunks)
        self._given += len(chunk)
        if not self._told and self._given > _HEADER_BYTES:
            self._told = True
            guarded(self._first_sound)
        return chunk

    def close(self) -> None:
        """A client that hangs up ends what makes the chunks, too."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
