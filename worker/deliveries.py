"""Messages at work in this process: how many, and which jobs they are about."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Deliveries:
    """Safe from many threads.  A job may be delivered twice: a message that seemed to be lost was sent again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()

    @contextmanager
    def of(self, identifier: str) -> Iterator[bool]:
        """Whether this is the only delivery at work here."""
        with self._lock:
            is_first = identifier not in self._ids
            self._ids.add(identifier)
        try:
            yield is_first
        finally:
            if is_first:
                with self._lock:
                    self._ids.discard(identifier)

    @property
    def count(self) -> int:
        with self._lock:
            return len(self._ids)
