"""What the workers say of themselves, at most a second old (less while none is ready), for health and admission.

Health is asked often and must answer in milliseconds, so one thread looks and everybody else takes what was
seen last.  When the registry itself cannot be asked, that is the reason given.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from contract.canary import CanaryVerdict
from contract.errors import ErrorCode, ServiceError
from contract.schemas import WorkerState
from contract.stores.interfaces import CanaryBoard, WorkerRegistry
from contract.stores.jobs import JobStore, QueueDepth

_FRESH_S = 1.0
_FRESH_WHILE_AWAY_S = 0.1  # who was told "not ready" by one process must not be told so by another after it is
_PATIENCE_S = 0.3  # what a caller waits for a look in progress before taking the last one
_STALE_S = 10.0  # a registry that has not answered for so long counts as away


@dataclass(frozen=True)
class Snapshot:
    """One look.  `problem`: why nothing could be seen; None when all is well with the registry."""

    workers: tuple[WorkerState, ...] = ()
    depth: QueueDepth = field(default_factory=QueueDepth)
    taken_at: float = 0.0  # monotonic
    problem: ErrorCode | None = None
    canary: CanaryVerdict | None = None
    awaited: WorkerState | None = None  # nobody is ready, but this one is just being replaced

    @property
    def able(self) -> tuple[WorkerState, ...]:
        """By whom work may be expected to be done: accepted work is kept, so a short absence need refuse none."""
        return self.ready or ((self.awaited,) if self.awaited is not None else ())

    @property
    def is_healthy(self) -> bool:
        """Somebody could do work, and what was heard last was speech.  Admission asks for the first alone."""
        return bool(self.ready) and not (self.canary is not None and self.canary.speech_is_bad)

    @property
    def ready(self) -> tuple[WorkerState, ...]:
        return tuple(worker for worker in self.workers if worker.ready)

    @property
    def encoder_available(self) -> bool:
        return any(worker.encoder_available for worker in self.able)

    @property
    def pronunciation(self) -> str | None:
        """`network` where a ready worker reads texts with the release's network; None without a ready worker."""
        if not self.ready:
            return None
        return "network" if any("g2p_network" in worker.capabilities for worker in self.ready) else "dictionary"

    @property
    def audio_s_per_s(self) -> float:
        """Seconds of speech all ready workers make per second, measured lately; 1 where nobody did yet."""
        measured = [worker.audio_s_per_s for worker in self.ready if worker.audio_s_per_s]
        return sum(measured) if measured else 1.0


class WorkersView:
    """The last Snapshot; renewed by whoever finds it older than a second, in a thread of its own."""

    def __init__(
        self,
        workers: WorkerRegistry,
        jobs: JobStore,
        canary: CanaryBoard,
        *,
        fresh_s: float = _FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers, self._jobs, self._canary = workers, jobs, canary
        self._fresh_s, self._clock = fresh_s, clock
        self._lock = threading.Lock()
        self._looking: threading.Event | None = None
        self._last: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        last = self._last
        if last is not None and self._clock() - last.taken_at <= self._fresh_for_s(last):
            return last
        self._start_looking().wait(_PATIENCE_S if last is not None else _STALE_S)
        seen = self._last
        if seen is None or self._clock() - seen.taken_at > _STALE_S:
            return Snapshot(taken_at=self._clock(), problem=ErrorCode.STORE_UNAVAILABLE)
        return seen

    def _fresh_for_s(self, last: Snapshot) -> float:
        is_starting = last.problem is None and not last.is_healthy
        return min(self._fresh_s, _FRESH_WHILE_AWAY_S) if is_starting else self._fresh_s

    def _start_looking(self) -> threading.Event:
        with self._lock:
            if self._looking is None:
                self._looking = threading.Event()
                threading.Thread(target=self._look, args=(self._looking,), name="workers", daemon=True).start()
            return self._looking

    def _look(self, done: threading.Event) -> None:
        try:
            workers, depth, canary = self._workers.list(), self._jobs.depth(), self._canary.read()
            awaited = None if any(worker.ready for worker in workers) else self._workers.awaited()
            self._last = Snapshot(workers, depth, self._clock(), canary=canary, awaited=awaited)
        except ServiceError as error:
            self._last = Snapshot(taken_at=self._clock(), problem=error.code)
        finally:
            with self._lock:
                self._looking = None
            done.set()
