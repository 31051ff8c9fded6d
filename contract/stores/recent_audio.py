"""The audio this process answered with last, unpacked: a phrase that many ask for is fetched and unpacked once.

Only Redis says that an entry is there.  What is kept here saves the way of its bytes and is never an answer alone: what
was erased or has expired is gone with its record.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

MOST_BYTES = 16_000_000  # of a process; some minutes of speech
LARGEST_SHARE = 4  # of all that is kept an entry takes at most one in so many


@dataclass(frozen=True)
class Recent:
    """created: the stamp of the entry these bytes are of."""

    created: str
    data: bytes


class RecentAudio:
    """Safe from many threads; least recently used out first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Recent] = OrderedDict()
        self._bytes = 0

    def get(self, fingerprint: str) -> Recent | None:
        with self._lock:
            found = self._kept.get(fingerprint)
            if found is not None:
                self._kept.move_to_end(fingerprint)
            return found

    def keep(self, fingerprint: str, recent: Recent) -> None:
        with self._lock:
            self._drop(fingerprint)
            if len(recent.data) * LARGEST_SHARE > self._most_bytes:
                return
            self._kept[fingerprint] = recent
            self._bytes += len(recent.data)
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._kept)))

    def drop(self, fingerprint: str) -> None:
        with self._lock:
            self._drop(fingerprint)

    def _drop(self, fingerprint: str) -> None:
        gone = self._kept.pop(fingerprint, None)
        self._bytes -= 0 if gone is None else len(gone.data)
