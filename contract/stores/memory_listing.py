"""Pages of jobs, newest first, as the in-memory job store gives them."""

from __future__ import annotations

from collections.abc import Sequence

from contract.schemas import Job
from contract.stores.cursor import decode, encode
from contract.stores.jobs import JobPage


def page_of(jobs: Sequence[Job], *, cursor: str | None, limit: int) -> JobPage:
    """What comes after the cursor, at most `limit` of it."""
    found = sorted(jobs, key=lambda j: (j.created_at, j.id), reverse=True)
    if cursor is not None:
        before = decode(cursor)
        found = [j for j in found if (j.created_at, j.id) < before]
    page = tuple(found[:limit])
    return JobPage(page, encode(page[-1]) if len(found) > limit else None)
