"""What a worker process does beside speaking: says that it lives, and sweeps.  A thread for each, at its own pace: a
sweep may find much to do, and a worker that is not heard of is taken for lost.

While the store is away nobody can renew a lease.  When it is back, all leases may have run out though all workers live;
so whoever saw it away lets one lease pass before it sweeps again.  What a process held that is known to have ended is
brought back all the same, and at once when word of it comes.  Messages that were on their way when it went may be lost:
once it is back, others are sent.
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
        after_outage: Callable[[float], object],
        watch_engine: Callable[[], None],
        every_s: float,
        sweep_every_s: float,
        ttl_s: float,
        grace_s: float,
        clock: Callable[[], float],
    ) -> None:
        """grace_s: a lease, see the module; everything else in seconds, too.

        after_outage: called once the store is back, with the time since it was last known to be there
        """
        self._grace_s = grace_s
        self._after_outage = after_outage
        self._was_there_at, self._is_away = clock(), False
        self._sweep_at = 0.0
        self._registry, self._describe = registry, describe
        self._sweep, self._sweep_buried = sweep, sweep_buried
        self._watch_engine = watch_engine
        self._every_s, self._sweep_every_s, self._ttl_s = every_s, sweep_every_s, ttl_s
        self._clock = clock
        self._news, self._has_beaten, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for target, name in ((self._beat_on, "heartbeat"), (self._sweep_on, "sweep")):
            self._threads.append(threading.Thread(target=target, name=name, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """The registry forgets the worker at once rather than after its time."""
        self._stopping.set()
        self._has_beaten.set()
        self._news.set()
        for thread in self._threads:
            thread.join()
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
        else:
            self._look_after_messages()

    def _beat_on(self) -> None:
        while not self._stopping.is_set():
            self._watch_engine()
            self.beat()
            self._has_beaten.set()
            self._stopping.wait(self._every_s)

    def _sweep_on(self) -> None:
        self._has_beaten.wait()  # whether the store was away is known first
        while not self._stopping.is_set():
            if self._clock() >= self._sweep_at:
                self._sweep_at = self._clock() + self._sweep_every_s
                self._try(self._sweep)
            else:
                self._try(self._sweep_buried)
            self._news.wait(self._every_s)
            self._news.clear()

    def _try(self, sweep: Callable[[], object]) -> None:
        try:
            sweep()
        except ServiceError as error:
            log.warning("sweep_not_done", code=error.code)
            self._let_leases_pass()

    def _look_after_messages(self) -> None:
        """The store is there."""
        if self._is_away:
            try:
                self._after_outage(self._clock() - self._was_there_at)
            except ServiceError as error:
                log.warning("messages_not_doubted", code=error.code)
                return
            self._news.set()
        self._was_there_at, self._is_away = self._clock(), False

    def _let_leases_pass(self) -> None:
        """No sweep sooner than a lease from now."""
        self._is_away = True
        self._sweep_at = max(self._sweep_at, self._clock() + self._grace_s)

    def _say_goodbye(self) -> None:
        try:
            self._registry.remove(self._describe().name)
        except ServiceError as error:  # it is forgotten after its time anyway
            log.warning("goodbye_not_written", code=error.code)
