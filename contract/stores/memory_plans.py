"""The in-memory twin of the plan board, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable

from contract.schemas import Job
from contract.stores.interfaces import Event, EventKind, Events
from contract.stores.plans import ANSWER_KEPT_S, PlanAnswer


class MemoryPlanBoard:
    """See plans.PlanBoard."""

    def __init__(self, events: Events, *, clock: Callable[[], float]) -> None:
        self._events, self._clock = events, clock
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[Job, float]] = {}
        self._answered: dict[str, tuple[PlanAnswer, float]] = {}

    def ask(self, job: Job, *, ttl_s: float) -> None:
        with self._lock:
            self._asked[job.id] = (job, self._clock() + ttl_s)

    def asked(self, plan_id: str) -> Job | None:
        with self._lock:
            job, ends_at = self._asked.get(plan_id, (None, 0.0))
            return job if ends_at > self._clock() else None

    def answer(self, plan_id: str, answer: PlanAnswer) -> None:
        with self._lock:
            self._answered[plan_id] = (answer, self._clock() + ANSWER_KEPT_S)
        self._events.publish(Event(EventKind.PLAN, plan_id, "answered"))

    def answered(self, plan_id: str) -> PlanAnswer | None:
        with self._lock:
            answer, ends_at = self._answered.get(plan_id, (None, 0.0))
            return answer if ends_at > self._clock() else None

    def withdraw(self, plan_id: str) -> None:
        with self._lock:
            self._asked.pop(plan_id, None)
            self._answered.pop(plan_id, None)
