"""The in-memory twin of the due webhooks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from contract.stores.webhooks import Delivery


class MemoryWebhookStore:
    """See webhooks.WebhookStore."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}
        self._attempts: dict[str, int] = {}

    def add(self, job_id: str) -> None:
        """Called as a job ends; in Redis its script does it."""
        with self._lock:
            self._due[job_id] = self._clock()

    def claim(self, *, lease_s: float, limit: int) -> tuple[Delivery, ...]:
        with self._lock:
            now_s = self._clock()
            due = sorted((at, job_id) for job_id, at in self._due.items() if at <= now_s)[:limit]
            for _, job_id in due:
                self._due[job_id] = now_s + lease_s
                self._attempts[job_id] = self._attempts.get(job_id, 0) + 1
            return tuple(Delivery(job_id, self._attempts[job_id]) for _, job_id in due)

    def retry(self, delivery: Delivery, *, after_s: float) -> bool:
        with self._lock:
            if self._attempts.get(delivery.job_id) != delivery.attempt:
                return False
            self._due[delivery.job_id] = self._clock() + after_s
            return True

    def close(self, delivery: Delivery) -> bool:
        with self._lock:
            if self._attempts.get(delivery.job_id) != delivery.attempt:
                return False
            del self._due[delivery.job_id], self._attempts[delivery.job_id]
            return True
