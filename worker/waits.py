"""How long jobs waited lately before a worker took them, by priority: for the heartbeat and `/api/v1/capacity`."""

import math
import threading
from collections import deque
from collections.abc import Mapping

from contract.schemas import Priority

_REMEMBERED = 200  # jobs of each priority
_SHARE = 0.95


class Waits:
    """The newest waits; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: Mapping[Priority, deque[float]] = {p: deque(maxlen=_REMEMBERED) for p in Priority}

    def note(self, priority: Priority, waited_s: float) -> None:
        with self._lock:
            self._seconds[priority].append(max(0.0, waited_s))

    @property
    def p95_s(self) -> dict[str, float]:
        """By priority, of those that had jobs; 19 of 20 waited no longer."""
        with self._lock:
            noted = {p.value: sorted(seconds) for p, seconds in self._seconds.items() if seconds}
        return {name: round(waits[math.ceil(_SHARE * len(waits)) - 1], 3) for name, waits in noted.items()}
