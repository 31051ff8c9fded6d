"""An API process that is to stop tells its long-polls, so that they do not hold it up.

Gunicorn has no hook for SIGTERM in a process of its own; the process says so by no longer being `alive`.
"""

import threading
import time
from typing import Any

from megatts3_server.services import of_app

LOOK_S = 0.25


def watch(server: Any) -> threading.Thread:  # Any: gunicorn's worker, untyped
    """Look at gunicorn's process from a thread (a greenlet under gevent) until it is to stop."""

    def run() -> None:
        while server.alive:
            time.sleep(LOOK_S)
        of_app(server.wsgi).wait_room.drain()

    thread = threading.Thread(target=run, name="draining", daemon=True)
    thread.start()
    return thread
