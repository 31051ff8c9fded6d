"""Carry a cancel to its job at once, rather than at the next heartbeat."""

import threading

from contract.errors import ServiceError
from contract.stores.interfaces import EventKind, Events
from contract.telemetry import event_log
from worker.leases import LeaseKeeper

log = event_log(__name__)


class CancelWatch:
    """Listens to the channel of changes and looks at the jobs this process holds."""

    def __init__(self, events: Events, leases: LeaseKeeper) -> None:
        self._events, self._leases = events, leases
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="cancels", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        for event in self._events.listen(self._stopping):
            if event.kind is not EventKind.JOB:
                continue
            try:
                self._leases.hear_of(event.id)
            except ServiceError as error:  # the next heartbeat tells
                log.warning("cancel_not_looked_up", job=event.id, code=error.code)
