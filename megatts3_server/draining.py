"""An API process that is to stop tells its long-polls, so that they do not hold it up; one too large stops itself.

Gunicorn has no hook for SIGTERM in a process of its own; the process says so by no longer being `alive`.  Whoever sets
that has it stop in order: what it has taken on is answered, and gunicorn starts another.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from contract.own_memory import resident_bytes
from contract.telemetry import event_log
from megatts3_server.services import of_app

log = event_log(__name__)

LOOK_S = 0.25


def watch(  # Any: gunicorn's worker, untyped
    server: Any, *, max_memory_bytes: int | None = None, resident: Callable[[], int] = resident_bytes
) -> threading.Thread:
    """Look at gunicorn's process from a thread (a greenlet under gevent) until it is to stop.

    max_memory_bytes: resident; None for no limit
    """

    def run() -> None:
        while server.alive:
            time.sleep(LOOK_S)
            if server.alive and max_memory_bytes is not None and resident() > max_memory_bytes:
                log.warning("api_holds_too_much_memory", limit_bytes=max_memory_bytes)
                server.alive = False
        of_app(server.wsgi).wait_room.drain()

    thread = threading.Thread(target=run, name="draining", daemon=True)
    thread.start()
    return thread
