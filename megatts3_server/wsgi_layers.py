"""Two thin layers around the app: paths with doubled slashes, and bodies nobody read."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]  # Any: as PEP 3333 leaves it

_STEP_BYTES = 1 << 18
_PATIENCE_S = 10.0


def plain_path(inner: Wsgi) -> Wsgi:
    """`//health` is `/health`: what a base URL with a slash at its end makes; served, not redirected."""

    def outer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # Any: as PEP 3333 leaves it
        path = environ.get("PATH_INFO", "")
        if "//" in path:
            environ["PATH_INFO"] = "/" + "/".join(part for part in path.split("/") if part)
        return inner(environ, start_response)

    return outer


def read_to_the_end(inner: Wsgi, *, max_bytes: int) -> Wsgi:
    """Take in what is left of a body that was refused (413, 429, 401 …), so that the client reads the answer.

    A client that is still sending would otherwise see a broken connection; and the server, before it takes the
    next request of a connection, discards a kilobyte at a time (21 s for 100 MB, measured on gunicorn 27).
    """

    def outer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # Any: as PEP 3333 leaves it
        stream = get_input_stream(environ)
        environ["wsgi.input"], environ["wsgi.input_terminated"] = stream, True
        answer = inner(environ, start_response)
        deadline, left = time.monotonic() + _PATIENCE_S, max_bytes
        try:
            while left > 0 and time.monotonic() < deadline and (data := stream.read(min(_STEP_BYTES, left))):
                left -= len(data)
        except (OSError, ValueError, ClientDisconnected, ParseException):
            pass  # the client is gone, or sent half a chunk: there is nobody to spare
        return answer

    return outer
