"""How many of Celery's threads are at work here: what they wait for or hold does not matter."""

import threading


class TaskCount:
    """A context manager around each task; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1
