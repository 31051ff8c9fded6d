"""Has the client hung up?  A silent wait does not see it by itself; a peek at the socket does.

The server's raw socket is in the WSGI environ (`gunicorn.socket`; `werkzeug.socket` in development).
Not here: what to do about it; whoever waits decides.
"""

import select
import socket
from collections.abc import Callable, Mapping
from typing import Any

_SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")


def watch(environ: Mapping[str, Any]) -> Callable[[], bool]:  # Any: what PEP 3333 puts in an environ
    """A question to ask while waiting: True once the client has closed its end.  Never blocks."""
    for key in _SOCKET_KEYS:
        connection = environ.get(key)
        if connection is not None:
            return lambda: _is_closed(connection)
    return lambda: False


def _is_closed(connection: socket.socket) -> bool:
    try:
        poll = select.poll()  # select() cannot take descriptors above 1023, and long-polls come in thousands
        poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
        if not poll.poll(0):
            return False
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):  # reset by the peer, or closed under us
        return True
