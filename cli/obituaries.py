"""Tell the workers that one of them ended, so that what it held need not wait until its leases run out.

Whoever started a process knows for certain when it has ended; everybody else can only wait for a lease.
"""

import queue
import socket
import threading
import time
from pathlib import Path

from cli.processes import ServiceSpec
from contract.errors import ServiceError
from contract.last_words import JoinedLast, path_of, taken_last_words
from contract.stores.burial import bury
from contract.stores.interfaces import Stores

TRY_AGAIN_S = 0.5
TRIED_FOR_S = 30.0  # the leases have run out by then


class Obituaries:
    """A thread of its own tells: the store may be away, and the supervisor must not wait for it."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        """folder: where the processes leave their last words."""
        self._stores, self._folder = stores, folder
        self._ended: queue.SimpleQueue[tuple[str, int, tuple[JoinedLast, ...]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="obituaries", daemon=True)
        self._thread.start()

    def note(self, spec: ServiceSpec, pid: int) -> None:
        """A process of this service has ended.  Returns at once."""
        if spec.holds_jobs:
            worker = f"{spec.name}@{socket.gethostname()}"  # a worker's name, as Celery's %h makes it
            self._ended.put((worker, pid, taken_last_words(path_of(self._folder, worker, pid))))

    def _run(self) -> None:
        while True:
            self._tell(*self._ended.get())

    def _tell(self, worker: str, pid: int, joining: tuple[JoinedLast, ...]) -> None:
        give_up_at = time.monotonic() + TRIED_FOR_S
        while time.monotonic() < give_up_at:
            try:
                bury(self._stores, worker, pid, joining=joining)
            except ServiceError:
                time.sleep(TRY_AGAIN_S)
            else:
                return
