"""How fast this worker has been lately: for the heartbeat, and through it for the API's estimates."""

import threading

WEIGHT = 0.2  # of the newest job in the running means: about the last ten jobs count


class Throughput:
    """Running means over finished jobs; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rtf: float | None = None
        self._audio_s_per_s: float | None = None

    def note(self, *, audio_s: float, synthesis_s: float, jobs_at_once: int) -> None:
        """A job ended.  Jobs that share the engine each take longer, and together make more."""
        if audio_s <= 0 or synthesis_s <= 0:
            return
        rtf = synthesis_s / audio_s
        with self._lock:
            self._rtf = mean(self._rtf, rtf)
            self._audio_s_per_s = mean(self._audio_s_per_s, max(1, jobs_at_once) / rtf)

    @property
    def rtf(self) -> float | None:
        """Seconds of compute per second of audio, of one job; None before the first."""
        return self._rtf

    @property
    def audio_s_per_s(self) -> float | None:
        """Seconds of audio a second, all jobs together; None before the first."""
        return self._audio_s_per_s


def mean(before: float | None, newest: float) -> float:
    return newest if before is None else (1 - WEIGHT) * before + WEIGHT * newest
