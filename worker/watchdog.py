"""When a worker process must go: its engine died or hangs, or it holds too much memory.

Whoever supervises it starts another.  A dead or hung engine ends the process at once, its leases run out and its jobs
go to other workers.  Too much memory ends it in order: it drains, as after SIGTERM.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.telemetry import event_log
from worker.speech_engine import SpeechEngine

log = event_log(__name__)

EX_ENGINE_DIED = 70  # <sysexits.h> EX_SOFTWARE: whoever supervises this process starts it again
EX_DEVICE_LOST = 75  # EX_TEMPFAIL: the same; the device can do nothing more for this process, and may for the next
SHARE_OF_THE_CONTAINER = 0.9  # of its memory limit, where there is one and the settings name none
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
NO_LIMIT_BYTES = 2**60  # what the older kind of cgroup says instead of nothing


@dataclass
class Watchdog:
    """Looked at by the housekeeping thread.  `stuck_after_s`: a step that lasts longer will never end.

    max_memory_bytes: resident; None for no limit.
    """

    engine: SpeechEngine
    name: str
    stuck_after_s: float
    max_memory_bytes: int | None
    leave: Callable[[int], object]
    drain: Callable[[], object]
    resident_bytes: Callable[[], int]
    is_leaving: bool = False

    def look(self) -> None:
        """Once.  Only for a worker that is or was ready: loading and warming up may take as long as they like."""
        if not self.engine.is_alive and not self.is_leaving:
            log.error("engine_died", worker=self.name, reason=self.engine.death)
            self.leave(EX_DEVICE_LOST if self.engine.death else EX_ENGINE_DIED)
        elif self.engine.stalled_s > self.stuck_after_s:
            log.error("engine_stuck", worker=self.name, step_s=round(self.engine.stalled_s, 1))
            self.leave(EX_ENGINE_DIED)
        elif not self.is_leaving and self._holds_too_much():
            self.is_leaving = True
            log.warning("worker_holds_too_much_memory", worker=self.name, limit_bytes=self.max_memory_bytes)
            self.drain()

    def _holds_too_much(self) -> bool:
        return self.max_memory_bytes is not None and self.resident_bytes() > self.max_memory_bytes


def memory_limit(wanted_bytes: int | None, limits: tuple[Path, ...] = CGROUP_LIMITS) -> int | None:
    """The settings' own, else a share of the container's; None where neither is."""
    if wanted_bytes is not None:
        return wanted_bytes
    for source in limits:
        try:
            text = source.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal() and int(text) < NO_LIMIT_BYTES:
            return int(SHARE_OF_THE_CONTAINER * int(text))
    return None
