"""A job's progress as server-sent events: `progress` with the job as it is, at every change, until it ends;
`item` with an item of a batch that stands otherwise than before.

The last event is named after how it ended: `done`, `failed`, `cancelled`, or `deleted`.
"""

import json
import time
from collections.abc import Callable, Iterator

import flask

from contract.errors import ErrorCode, ServiceError
from contract.job_view import item_view
from contract.schemas import ItemState, Job
from megatts3_server import job_response, problems
from megatts3_server.services import Services
from megatts3_server.submission import Caller
from megatts3_server.waiting import ClientGone

Items = dict[int, ItemState]

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
    items: Items = {}
    while not job.status.is_terminal:
        yield _event("progress", job, built, number)
        number += 1
        for told in _of_items(job, items, built):
            yield f"id: {number}\n{told}"
            number += 1
        time.sleep(_APART_S)
        changed = None
        while changed is None:
            try:
                changed = built.submission.waiting.for_change(
                    job.id, _differs_from(job, items, built), timeout_s=KEEP_ALIVE_S, is_gone=caller.is_gone
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
    for told in _of_items(job, items, built):
        yield f"id: {number}\n{told}"
        number += 1
    yield _event(job.status.value, job, built, number)


def _of_items(job: Job, told: Items, built: Services) -> Iterator[str]:
    """Those that stand otherwise than was told."""
    if not job.items:
        return
    for index, state in sorted(built.stores.jobs.items(job.id).items()):
        if told.get(index) != state:
            told[index] = state
            shown = item_view(job, index, state, language=problems.language())
            yield f"event: item\ndata: {json.dumps(shown, ensure_ascii=False)}\n\n"


def _differs_from(job: Job, items: Items, built: Services) -> Callable[[Job], bool]:
    seen = _seen(job)
    return lambda other: _seen(other) != seen or (bool(job.items) and built.stores.jobs.items(job.id) != items)


def _seen(job: Job) -> tuple[object, ...]:
    return job.status, job.progress, job.token, job.cancel_requested


def _event(name: str, job: Job, built: Services, number: int) -> str:
    shown = job_response.shown(job, built.stores.jobs, with_items=job.status.is_terminal)
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(shown, ensure_ascii=False)}\n\n"
