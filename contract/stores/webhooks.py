"""Webhooks that are due: one a job that ended and named a URL, put there by the very write that ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Delivery:
    """The right to make one attempt.  `attempt` counts from 1 and is the token of every later call."""

    job_id: str
    attempt: int


class WebhookStore(Protocol):
    """Every attempt is leased: it belongs to one worker, until the lease is over and the next may claim another."""

    def claim(self, *, lease_s: float, limit: int) -> tuple[Delivery, ...]:
        """Attempts that are due now, those of workers that were lost included; the longest due first."""
        ...

    def retry(self, delivery: Delivery, *, after_s: float) -> bool:
        """Due again after so many seconds.  False: the attempt is not ours any more."""
        ...

    def close(self, delivery: Delivery) -> bool:
        """Nothing more is to be sent.  False as in retry."""
        ...
