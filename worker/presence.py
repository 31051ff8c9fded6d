"""What this worker says of itself in the registry: what it runs on, what it can do, how it fares."""

import os
import socket
from collections.abc import Callable

from contract.schemas import WorkerState
from megatts3.api import Capabilities
from megatts3.audio.formats import readable_formats, writable_formats
from worker.devices import Compute, measure_memory
from worker.gpu_load import gpu_utilization
from worker.leases import LeaseKeeper
from worker.speech_engine import SpeechEngine
from worker.throughput import Throughput
from worker.waits import Waits

ABILITIES = ("encoder", "g2p_network")  # of megatts3's Capabilities, as health shows them


class Presence:
    """The worker's state for the heartbeat.  Changed by start-up and drain alone."""

    def __init__(
        self,
        name: str,
        compute: Compute,
        *,
        engine: SpeechEngine,
        leases: LeaseKeeper,
        throughput: Throughput,
        waits: Waits,
        clock: Callable[[], float],
    ) -> None:
        self._name, self._compute, self._engine = name, compute, engine
        self._leases, self._throughput, self._clock = leases, throughput, clock
        self._waits = waits
        self._started_at = clock()
        self._capabilities: Capabilities | None = None
        self._revision = ""
        self._problem: str | None = "loading"
        self.was_ready = False

    @property
    def ready(self) -> bool:
        return self._problem is None

    def is_ready(self, capabilities: Capabilities, revision: str) -> None:
        """From now on jobs are welcome."""
        self._capabilities, self._revision, self._problem = capabilities, revision, None
        self.was_ready = True

    def is_not_ready(self, problem: str) -> None:
        """From now on no more jobs, and why."""
        self._problem = problem

    def describe(self) -> WorkerState:
        memory, capabilities = measure_memory(self._compute.device), self._capabilities
        return WorkerState(
            name=self._name,
            pid=os.getpid(),
            host=socket.gethostname(),
            device=self._compute.device,
            precision=self._compute.precision,
            ready=self.ready,
            checkpoint="" if capabilities is None else capabilities.name,
            revision=self._revision,
            encoder_available=capabilities is not None and capabilities.encoder,
            gpu_available=self._compute.is_gpu,
            capabilities=tuple(name for name in ABILITIES if getattr(capabilities, name, False)),
            reads=readable_formats(),
            writes=writable_formats(),
            max_rows=self._engine.rows_at_once,
            active_jobs=self._leases.held,
            active_rows=self._engine.active_rows + self._engine.queued,
            rtf=self._throughput.rtf,
            audio_s_per_s=self._throughput.audio_s_per_s,
            wait_p95_s=self._waits.p95_s,
            memory_used_bytes=None if memory is None else memory.used_bytes,
            memory_total_bytes=None if memory is None else memory.total_bytes,
            gpu_utilization=gpu_utilization(self._compute.device),
            started_at=self._started_at,
            seen_at=self._clock(),
            problem=self._problem,
        )
