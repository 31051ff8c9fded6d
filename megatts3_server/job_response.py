"""Answers about jobs: 202 with where to look, and the job itself."""

import time
from collections.abc import Iterable
from http import HTTPStatus

import flask

from contract import job_view
from contract.schemas import Job, JobStatus
from contract.stores.jobs import JobStore
from megatts3_server import problems, speech_response


def accepted(job: Job, warnings: Iterable[str]) -> flask.Response:
    """202: the job goes on without the caller.  `Preference-Applied` as RFC 7240 asks."""
    response = flask.jsonify(job_view.view(job, now_s=time.time(), language=problems.language()))
    response.status_code = HTTPStatus.ACCEPTED
    response.headers["Location"] = job_view.job_url(job.id)
    response.headers["X-Job-ID"] = job.id
    response.headers["Preference-Applied"] = "respond-async"
    speech_response.warn(response, warnings)
    return response


def shown(job: Job, jobs: JobStore, *, with_items: bool = False) -> dict[str, object]:
    """The job as JSON, with its place in the queue where it waits, and with each of its items where that is wanted."""
    position = jobs.queue_position(job.id) if job.status is JobStatus.QUEUED else None
    items = jobs.items(job.id) if with_items and job.items else None
    return job_view.view(job, now_s=time.time(), language=problems.language(), queue_position=position, items=items)
