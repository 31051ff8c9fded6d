"""Who looked for what in the audio cache, counted a moment later: an answer does not wait for a write.

In order, and before anything else of this process that the order or the counts matter to.  So the least recently used
are exact within a process, and over several to within DELAY_S.  A process that is killed takes its last moment along.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

DELAY_S = 0.2


@dataclass(frozen=True)
class Look:
    """One `get`."""

    fingerprint: str
    is_hit: bool


class CacheUses:
    """Looks that are not yet written.  `write` may raise nothing; it is never called twice at once."""

    def __init__(self, write: Callable[[Sequence[Look]], None], *, delay_s: float = DELAY_S) -> None:
        self._write, self._delay_s = write, delay_s
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._looks: list[Look] = []
        self._hits: Counter[str] = Counter()

    def note(self, look: Look) -> int:
        """One more; how many hits of its entry are not yet written."""
        with self._lock:
            self._looks.append(look)
            self._hits[look.fingerprint] += look.is_hit
            if len(self._looks) == 1:
                later = threading.Timer(self._delay_s, self.flush)
                later.daemon = True
                later.start()
            return self._hits[look.fingerprint]

    def flush(self) -> None:
        """Write what there is, now."""
        with self._writing:
            with self._lock:
                looks, self._looks = self._looks, []
                self._hits.clear()
            if looks:
                self._write(looks)
