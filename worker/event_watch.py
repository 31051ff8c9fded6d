"""Listen to the channel of changes, so that nobody here waits for a heartbeat: cancels of jobs this process holds,
new segments to render, segments that ended elsewhere or that nobody wants any more, workers that ended.
"""

import threading
from collections.abc import Callable

from contract.errors import ServiceError
from contract.stores.interfaces import CANCELLING, Event, EventKind, Events
from contract.stores.segments import SegmentStatus
from contract.telemetry import event_log
from worker.joiners import Joiners
from worker.leases import LeaseKeeper
from worker.rendering import Renderers

log = event_log(__name__)


class EventWatch:
    """One thread, until it is stopped."""

    def __init__(
        self,
        events: Events,
        leases: LeaseKeeper,
        *,
        renderers: Renderers,
        joiners: Joiners,
        worker_ended: Callable[[], object],
    ) -> None:
        self._worker_ended = worker_ended
        self._events, self._leases, self._renderers, self._joiners = events, leases, renderers, joiners
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        for event in self._events.listen(self._stopping):
            if event.kind is EventKind.JOB:
                if event.status == CANCELLING:
                    self._hear_of_job(event.id)
            elif event.kind is EventKind.SEGMENT:
                self._hear_of_segment(event)
            elif event.kind is EventKind.WORKER:
                self._worker_ended()
            elif event.kind is EventKind.RESYNC:
                self._renderers.wake()
                self._joiners.ring_all()

    def _hear_of_job(self, job_id: str) -> None:
        try:
            self._leases.hear_of(job_id)
        except ServiceError as error:  # the next heartbeat tells
            log.warning("cancel_not_looked_up", job=job_id, code=error.code)

    def _hear_of_segment(self, event: Event) -> None:
        if event.status == SegmentStatus.QUEUED:
            self._renderers.wake()
        elif event.status == "unwanted":
            self._renderers.stop_rendering(event.id)
        else:
            self._joiners.ring(event.id)
