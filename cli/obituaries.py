"""Tell the workers that one of them ended, so that what it held need not wait until its leases run out.

Whoever started a process knows for certain when it has ended; everybody else can only wait for a lease.
"""

import queue
import socket
import threading
import time

from cli.processes import ServiceSpec
from contract.errors import ServiceError
from contract.stores.burial import bury
from contract.stores.interfaces import Stores

TRY_AGAIN_S = 0.5
TRIED_FOR_S = 30.0  # the leases have run out by then


class Obituaries:
    """A thread of its own tells: the store may be away, and the supervisor must not wait for it."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._ended: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="obituaries", daemon=True)
        self._thread.start()

    def note(self, spec: ServiceSpec, pid: int) -> None:
        """A process of this service has ended.  Returns at once."""
        if spec.holds_jobs:
            self._ended.put((f"{spec.name}@{socket.gethostname()}", pid))  # a worker's name, as Celery's %h makes it

    def _run(self) -> None:
        while True:
            self._tell(*self._ended.get())

    def _tell(self, worker: str, pid: int) -> None:
        give_up_at = time.monotonic() + TRIED_FOR_S
        while time.monotonic() < give_up_at:
            try:
                bury(self._stores, worker, pid)
            except ServiceError:
                time.sleep(TRY_AGAIN_S)
            else:
                return
