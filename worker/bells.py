"""A bell a job: rung when one of its segments ended, here or at another worker."""

import threading


class Bells:
    """Safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[str, threading.Event] = {}

    def of(self, job_id: str) -> threading.Event:
        """The job's bell; put it away with `remove`."""
        with self._lock:
            return self._bells.setdefault(job_id, threading.Event())

    def remove(self, job_id: str) -> None:
        with self._lock:
            self._bells.pop(job_id, None)

    def ring(self, job_id: str) -> None:
        with self._lock:
            bell = self._bells.get(job_id)
        if bell is not None:
            bell.set()

    def ring_all(self) -> None:
        """Anything may have happened."""
        with self._lock:
            bells = list(self._bells.values())
        for bell in bells:
            bell.set()
