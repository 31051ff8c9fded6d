"""How fast this worker has been lately: for the heartbeat, and through it for the API's estimates."""

import math
import threading

from megatts3.api import Counters

WEIGHT = 0.2  # of the newest job in the running mean: about the last ten jobs count
MEMORY_S = 60.0  # of the engine's busy time: what was before counts for a third, and ever less
LEAST_BUSY_S = 0.2  # below this a quotient says nothing


class Throughput:
    """Of jobs how long one takes; of the engine how much sound it makes while it is busy.  Safe from many threads.

    The engine's own counts, because jobs do not tell: a text's segments are rendered by all workers, and rows that
    share a step each take longer and together make more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rtf: float | None = None
        self._seen: Counters | None = None
        self._audio_s = self._busy_s = 0.0  # fading sums

    def note(self, *, audio_s: float, synthesis_s: float) -> None:
        """A job ended."""
        if audio_s <= 0 or synthesis_s <= 0:
            return
        with self._lock:
            self._rtf = mean(self._rtf, synthesis_s / audio_s)

    def engine(self, now: Counters) -> None:
        """What it has done since it began; the first call only says from where to count."""
        with self._lock:
            before, self._seen = self._seen, now
            if before is None:
                return
            new = now.minus(before)
            busy_s = new.step_s + new.prepare_s + new.decode_s + new.scheduler_s
            kept = math.exp(-busy_s / MEMORY_S)
            self._audio_s, self._busy_s = kept * self._audio_s + new.audio_s, kept * self._busy_s + busy_s

    @property
    def rtf(self) -> float | None:
        """Seconds of compute per second of audio, of one job; None before the first."""
        return self._rtf

    @property
    def audio_s_per_s(self) -> float | None:
        """Seconds of audio a second of work, all rows together; one job's pace where the engine does not count.

        None before the first.
        """
        with self._lock:
            if self._audio_s > 0 and self._busy_s > LEAST_BUSY_S:
                return self._audio_s / self._busy_s
            return None if self._rtf is None else 1 / self._rtf


def mean(before: float | None, newest: float) -> float:
    return newest if before is None else (1 - WEIGHT) * before + WEIGHT * newest
