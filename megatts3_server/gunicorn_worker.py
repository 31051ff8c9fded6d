"""gunicorn's process, with its own refusals as problems: what it turns away never reaches the app.

A request line or header fields over their limits, a head that is no HTTP: gunicorn answers those itself, as HTML, and
logs the line it could not read.  Here they take the app's last steps instead (problems.py, the headers of every answer,
metrics, log), and nothing of what was sent is logged.  Imported by gunicorn's master before anything is patched, so
that the app's modules are imported where they are needed.
"""

import contextlib
import re
import socket
import time
from typing import Any

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.ggevent import GeventWorker

_STATUSES = {
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
    ExpectationFailed: 417,
    ForbiddenProxyRequest: 403,
    UnsupportedTransferCoding: 501,
}
_OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)
_HEAD_BYTES = 16_384  # of a refused request; who asked for what, and in which language
_PATH_CHARACTERS = 200  # of its address, as the answer repeats it
_LINGER_S = 2.0
_LINGER_BYTES = 8_000_000
_STEP_BYTES = 65_536
_LINE = re.compile(rb"\s*[^\s]+[ ]+([^\s?#]*)")
_TOLD = re.compile(
    rb"\r\n(Accept-Language|X-Request-ID|Origin):[ \t]*([\x20-\x7e]{1,300}?)[ \t]*(?=\r\n)", re.IGNORECASE
)


class HeldRequest(Request):  # type: ignore[misc] # gunicorn has no types
    """A request whose error says how its head began."""

    _began: bytes | bytearray = b""

    def __init__(self, *given: Any, **named: Any) -> None:  # Any: gunicorn's own
        try:
            super().__init__(*given, **named)
        except ParseException as error:
            error.head = self._began
            raise
        self._began = b""

    def read_into(self, unreader: Any, buf: bytearray, **how: Any) -> None:  # Any: gunicorn's own
        super().read_into(unreader, buf, **how)
        self._began = self._began or buf  # the first one: what follows starts behind the request line


class ProblemWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """See the module."""

    def init_process(self) -> None:
        RequestParser.mesg_class = HeldRequest
        super().init_process()

    def handle_error(  # Any: gunicorn's
        self,
        req: Any,
        client: socket.socket,
        addr: Any,  # noqa: ARG002 - gunicorn's seam
        exc: BaseException,
    ) -> None:
        """Called by gunicorn where it gives a request up: answer, and have the answer read."""
        status = status_of(exc)
        if status == 500:
            self.log.error("Error handling a request", exc_info=exc)
        head = bytes(getattr(exc, "head", b"")[:_HEAD_BYTES])
        if not head and req is not None:
            head = f"{req.method} {req.path} HTTP/1.1\r\n".encode("latin-1", "replace")
        with contextlib.suppress(OSError):
            client.settimeout(_LINGER_S)
            client.sendall(answer(self.wsgi, status, head))
            _linger(client)


def status_of(error: BaseException) -> int:
    if not isinstance(error, ParseException) or isinstance(error, _OURS):
        return 500
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 400)


def answer(app: Any, status: int, head: bytes) -> bytes:  # Any: the Flask app; its module is not to be loaded here
    """The whole answer, as the app would have given it to a request for that address."""
    from werkzeug.exceptions import default_exceptions  # noqa: PLC0415 - see the module

    from megatts3_server import problems, request_log  # noqa: PLC0415

    line = _LINE.match(head)
    path = line[1].decode("latin-1")[:_PATH_CHARACTERS] if line else "/"
    headers = [(name.decode(), value.decode()) for name, value in _TOLD.findall(head)]
    with app.test_request_context(path if path.startswith("/") else "/", headers=headers):
        request_log.arrive()
        response = app.process_response(problems.from_http_exception(default_exceptions[status]()))
    body = response.get_data()
    response.headers["Connection"] = "close"
    response.headers["Content-Length"] = str(len(body))
    fields = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
    whole: bytes = f"HTTP/1.1 {response.status}\r\n{fields}\r\n".encode("latin-1") + body
    return whole


def _linger(client: socket.socket) -> None:
    """Take in what is still on its way: closed on unread bytes, the connection breaks before the answer is read."""
    client.shutdown(socket.SHUT_WR)
    deadline, left = time.monotonic() + _LINGER_S, _LINGER_BYTES
    while left > 0 and (left_s := deadline - time.monotonic()) > 0:
        client.settimeout(left_s)
        data = client.recv(_STEP_BYTES)
        if not data:
            return
        left -= len(data)
