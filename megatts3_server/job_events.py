"""A job's progress as server-sent events: `progress` with the job as it is, at every change, until it ends.

The last event is named after how it ended: `done`, `failed`, `cancelled`, or `deleted`.
"""

import json
import time
from collections.abc import Callable, Iterator

import flask

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job
from megatts3_server import job_response
from megatts3_server.services import Services
from megatts3_server.submission import Caller
from megatts3_server.waiting import ClientGone

EVENTS = "text/event-stream"
KEEP_ALIVE_S = 15.0  # proxies close connections that are silent for long
_APART_S = 0.2  # between two events: a fast job need not be told step by step


def answer(built: Services, job: Job, caller: Caller) -> flask.Response:
    """Begins with the job as it is."""
    response = flask.Response(flask.stream_with_context(_told(built, job, caller)), mimetype=EVENTS)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    response.headers["X-Job-ID"] = job.id
    return response


def _told(built: Services, job: Job, caller: Caller) -> Iterator[str]:
    number = 0
    while not job.status.is_terminal:
        yield _event("progress", job, built, number)
        number += 1
        time.sleep(_APART_S)
        changed = None
        while changed is None:
            try:
                changed = built.submission.waiting.for_change(
                    job.id, _differs_from(job), timeout_s=KEEP_ALIVE_S, is_gone=caller.is_gone
                )
            except ClientGone:
                return
            except ServiceError as error:
                if error.code is not ErrorCode.JOB_NOT_FOUND:
                    raise
                yield f"id: {number}\nevent: deleted\ndata: {json.dumps({'id': job.id})}\n\n"
                return
            if changed is None:
                yield ": still here\n\n"
        job = changed
    yield _event(job.status.value, job, built, number)


def _differs_from(job: Job) -> Callable[[Job], bool]:
    seen = _seen(job)
    return lambda other: _seen(other) != seen


def _seen(job: Job) -> tuple[object, ...]:
    return job.status, job.progress, job.token, job.cancel_requested


def _event(name: str, job: Job, built: Services, number: int) -> str:
    shown = job_response.shown(job, built.stores.jobs)
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(shown, ensure_ascii=False)}\n\n"
