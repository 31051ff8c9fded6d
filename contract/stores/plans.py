"""Plans that are asked for and answered within one request: what would be spoken, without speaking it.

Nobody but the asker wants the answer, so nothing here outlives the request by more than moments: no record, no
index, no sweep.  A worker that dies leaves the asker to its deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from contract.errors import ErrorInfo
from contract.schemas import Job

ANSWER_KEPT_S = 60.0  # the asker waits for it, and takes it at once


@dataclass(frozen=True)
class PlanAnswer:
    """The plan as the API gives it (JSON), or why there is none."""

    plan: Mapping[str, Any] | None = None  # Any: what JSON holds
    error: ErrorInfo | None = None


class PlanBoard(Protocol):
    """Questions and answers by id.  A store that is away raises STORE_UNAVAILABLE."""

    def ask(self, job: Job, *, ttl_s: float) -> None:
        """Hang up a question, shaped as the job that would speak it; forgotten after `ttl_s`."""
        ...

    def asked(self, plan_id: str) -> Job | None:
        """The question.  None: withdrawn, or too old."""
        ...

    def answer(self, plan_id: str, answer: PlanAnswer) -> None:
        """Hang up the answer, and announce it."""
        ...

    def answered(self, plan_id: str) -> PlanAnswer | None: ...

    def withdraw(self, plan_id: str) -> None:
        """Forget question and answer."""
        ...
