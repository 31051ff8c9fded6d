"""Where a page of the job list ends: the last job's creation time and id, as one opaque word."""

from __future__ import annotations

import math

from contract.errors import ErrorCode, ServiceError
from contract.schemas import JOB_ID, Job

Place = tuple[float, str]  # created_at, id; a page goes on with jobs below it


def encode(job: Job) -> str:
    return f"{job.created_at!r}_{job.id}"


def decode(cursor: str) -> Place:
    """ServiceError(INVALID_VALUE) when it is not one of ours."""
    created_at, _, job_id = cursor.partition("_")
    try:
        place = float(created_at), job_id
    except ValueError:
        place = math.nan, job_id
    if not math.isfinite(place[0]) or not JOB_ID.fullmatch(job_id):
        raise ServiceError(ErrorCode.INVALID_VALUE, "the cursor is not one of ours")
    return place
