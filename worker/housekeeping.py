"""What a worker process does beside speaking: says that it lives, and sweeps.  One thread, its own pace.

While the store is away nobody can renew a lease.  When it is back, all leases may have run out though all workers live;
so whoever saw it away lets one lease pass before it sweeps again.  What a process held that is known to have ended is
brought back all the same, and at once when word of it comes.
"""

import threading
from collections.abc import Callable

from contract.errors import ServiceError
from contract.schemas import WorkerState
from contract.stores.interfaces import WorkerRegistry
from contract.telemetry import event_log

log = event_log(__name__)


class Housekeeping:
    """Heartbeats the worker's state and calls `sweep`, and `sweep_buried` between two of them, until stopped."""

    def __init__(
        self,
        registry: WorkerRegistry,
        *,
        describe: Callable[[], WorkerState],
        sweep: Callable[[], object],
        sweep_buried: Callable[[], object],
        watch_engine: Callable[[], None],
        every_s: float,
        sweep_every_s: float,
        ttl_s: float,
        grace_s: float,
        clock: Callable[[], float],
    ) -> None:
        """grace_s: a lease, see the module; everything else in seconds, too."""
        self._grace_s = grace_s
        self._sweep_at = 0.0
        self._registry, self._describe = registry, describe
        self._sweep, self._sweep_buried = sweep, sweep_buried
        self._watch_engine = watch_engine
        self._every_s, self._sweep_every_s, self._ttl_s = every_s, sweep_every_s, ttl_s
        self._clock = clock
        self._news = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The registry forgets the worker at once rather than after its time."""
        self._stopping = True
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        self._say_goodbye()

    def hear_of_an_end(self) -> None:
        """A worker's process has ended: look at once what it held."""
        self._news.set()

    def beat(self) -> None:
        """Say once that this worker lives; a store that is away is tried again at the next beat."""
        try:
            self._registry.heartbeat(self._describe(), ttl_s=self._ttl_s)
        except ServiceError as error:
            log.warning("heartbeat_not_written", code=error.code)
            self._let_leases_pass()

    def _run(self) -> None:
        while True:
            self._news.wait(self._every_s)
            self._news.clear()
            if self._stopping:
                return
            self._watch_engine()
            self.beat()
            if self._clock() >= self._sweep_at:
                self._sweep_at = self._clock() + self._sweep_every_s
                self._try(self._sweep)
            else:
                self._try(self._sweep_buried)

    def _try(self, sweep: Callable[[], object]) -> None:
        try:
            sweep()
        except ServiceError as error:
            log.warning("sweep_not_done", code=error.code)
            self._let_leases_pass()

    def _let_leases_pass(self) -> None:
        """No sweep sooner than a lease from now."""
        self._sweep_at = max(self._sweep_at, self._clock() + self._grace_s)

    def _say_goodbye(self) -> None:
        try:
            self._registry.remove(self._describe().name)
        except ServiceError as error:  # it is forgotten after its time anyway
            log.warning("goodbye_not_written", code=error.code)
