"""What the in-memory job store knows of re-sends: which job an Idempotency-Key was first used for."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job


@dataclass(frozen=True)
class _First:
    job_id: str
    body_hash: str
    expires_at: float  # Unix seconds


class FirstSubmissions:
    """By owner and key.  Changed under the store's lock."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._known: dict[tuple[str, str], _First] = {}

    def note(self, job: Job, body_hash: str, *, now_s: float) -> None:
        if job.idempotency_key:
            first = _First(job.id, body_hash, now_s + self._keep_s)
            self._known[job.owner or "", job.idempotency_key] = first

    def of(self, job: Job, body_hash: str, *, now_s: float) -> str | None:
        """The id of the job that this one is a re-send of.  CONFLICT where the key came with another body."""
        first = self._known.get((job.owner or "", job.idempotency_key or ""))
        if not job.idempotency_key or first is None or first.expires_at <= now_s:
            return None
        if first.body_hash != body_hash:
            raise ServiceError(ErrorCode.CONFLICT, "this Idempotency-Key was used with another body")
        return first.job_id
