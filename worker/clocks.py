"""The clocks of a worker; a test hands in others."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clocks:
    """Wall clock for records, the engine's own for deadlines, a fine one for measuring."""

    unix_s: Callable[[], float] = time.time
    engine_s: Callable[[], float] = time.monotonic
    measure_s: Callable[[], float] = time.perf_counter

    def to_engine(self, unix_s: float) -> float:
        """A moment of the wall clock on the engine's clock."""
        return self.engine_s() + (unix_s - self.unix_s())
