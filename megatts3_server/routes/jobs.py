"""Jobs: submit, list, look (with long-poll), fetch the audio, cancel and erase."""

import dataclasses
import hashlib

import flask
from werkzeug.datastructures import FileStorage

from contract import job_view
from contract.errors import ErrorCode, FieldError, FieldProblem, ServiceError
from contract.fingerprint import body_hash
from contract.messages import field_error
from contract.schemas import JOB_ID, ItemState, Job, JobResult, JobStatus, JobSubmission
from contract.stores.job_erasure import erase_job
from contract.wire import parse_job
from megatts3_server import (
    auth,
    incoming,
    job_list,
    job_response,
    negotiation,
    problems,
    speech_response,
    stored_audio,
    uploads,
    webhook_check,
)
from megatts3_server import job_events as job_events_view
from megatts3_server import job_times as job_times_view
from megatts3_server.routes.speech import read_reference
from megatts3_server.services import caller, services, sync_time_left_s
from megatts3_server.submission import Terms, done

_MAX_KEY = 256  # characters of an Idempotency-Key


def submit_job() -> flask.Response:
    """Submit work and come back for it later."""
    built = services()
    body = incoming.read(flask.request, file_names=uploads.FILE_NAMES)
    parsed = parse_job(body.fields, limits=built.settings.limits)
    submission = parsed.value
    _refuse_unbuilt(submission)
    webhook_check.require_usable(submission.webhook_url, built.settings.webhooks)
    reference = read_reference(built, body)
    terms = Terms(
        priority=submission.priority,
        deadline_s=submission.deadline_s,
        idempotency_key=_idempotency_key(),
        body_hash=_body_hash(body),
        metadata=submission.metadata,
        webhook_url=submission.webhook_url,
    )
    if submission.items:
        items = built.submission.resolve_items(submission.items, reference)
        job = built.submission.submit_items(submission.request, items, terms, caller())
        odd = tuple(f"items[{n}]: {warning}" for n, item in enumerate(items) for warning in item.warnings)
    else:
        resolved = built.submission.resolve(submission.request, reference)
        job = built.submission.submit(resolved, terms, caller())
        odd = resolved.warnings
    return job_response.accepted(job, (*speech_response.unknown_fields(parsed.unknown), *odd))


def list_jobs() -> flask.Response:
    """Jobs, newest first: those that are asked for, and of them a page."""
    built, asked = services(), job_list.read(flask.request.args)
    page = built.stores.jobs.list(
        status=asked.status, owner=auth.key_id(), wanted=asked.wanted, cursor=asked.cursor, limit=asked.limit
    )
    shown = [job_response.shown(job, built.stores.jobs) for job in page.jobs]
    return flask.jsonify({"jobs": shown, "next_cursor": page.cursor})


def show_job(job_id: str) -> flask.Response:
    """One job; `?wait=30` or `Prefer: wait=30` answers when its state changes or the time is up."""
    built, job = services(), _job(job_id)
    wait_s = _wait_s()
    if wait_s and not job.status.is_terminal:
        seen = job.status
        changed = built.submission.waiting.for_status(
            job,
            lambda status: status is not seen,
            timeout_s=min(wait_s, sync_time_left_s()),
            is_gone=caller().is_gone,
            may_end_early=True,
        )
        job = changed or _job(job_id)
    response = flask.jsonify(job_response.shown(job, built.stores.jobs, with_items=True))
    response.headers["X-Job-ID"] = job.id
    response.headers["Cache-Control"] = "no-store"
    return response


def job_times(job_id: str) -> flask.Response:
    """When each segment and word is heard: `?format=json`, `srt` or `vtt`, or as `Accept` asks."""
    return job_times_view.answer(_job(job_id), services().stores.blobs, flask.request)


def job_events(job_id: str) -> flask.Response:
    """The job's progress as server-sent events, until it ends."""
    return job_events_view.answer(services(), _job(job_id), caller())


def job_audio(job_id: str) -> flask.Response:
    """The audio of a finished job, whole or in ranges."""
    job = _job(job_id)
    if not job.status.is_terminal:
        raise ServiceError(ErrorCode.CONFLICT, "The job is not finished yet.", job_id=job.id)
    result = done(job).result
    assert result is not None
    if job.items:
        raise ServiceError(ErrorCode.CONFLICT, "The job has items; each has its own audio.", job_id=job.id)
    return _audio(job, result, name=job.id)


def show_item(job_id: str, index: str) -> flask.Response:
    """One item of a job."""
    job, place, state = _item(job_id, index)
    return flask.jsonify(job_view.item_view(job, place, state, language=problems.language()))


def item_audio(job_id: str, index: str) -> flask.Response:
    """The audio of one finished item, whole or in ranges."""
    job, place, state = _item(job_id, index)
    return _audio(job, _item_result(job, state), name=f"{job.id}-{place}")


def item_times(job_id: str, index: str) -> flask.Response:
    """When each segment and word of one item is heard: `?format=json`, `srt` or `vtt`, or as `Accept` asks."""
    job, _, state = _item(job_id, index)
    return job_times_view.of_result(job.id, _item_result(job, state), services().stores.blobs, flask.request)


def _item(job_id: str, index: str) -> tuple[Job, int, ItemState]:
    job = _job(job_id)
    place = int(index) if index.isascii() and index.isdecimal() and len(index) < 10 else job.items
    if place >= job.items:
        raise ServiceError(ErrorCode.NOT_FOUND, job_id=job_id)
    state = services().stores.jobs.items(job_id).get(place, ItemState(JobStatus.QUEUED))
    if job.status.is_terminal and not state.status.is_terminal:
        state = ItemState(job.status, error=job.error)
    return job, place, state


def _item_result(job: Job, state: ItemState) -> JobResult:
    if not state.status.is_terminal:
        raise ServiceError(ErrorCode.CONFLICT, "The item is not finished yet.", job_id=job.id)
    as_job = dataclasses.replace(job, status=state.status, result=state.result, error=state.error)
    result = done(as_job).result
    assert result is not None
    return result


def _audio(job: Job, result: JobResult, *, name: str) -> flask.Response:
    response = stored_audio.send(
        services().stores.blobs,
        result.audio_blob,
        content_type=result.audio_format.content_type,
        etag=f"{name}-{result.size_bytes}",
        filename=f"{name}.{result.audio_format.value}",
    )
    response.headers["X-Job-ID"] = job.id
    response.headers["X-Audio-Duration"] = f"{result.duration_s:.3f}"
    response.headers["X-Audio-Sample-Rate"] = str(result.sample_rate)
    response.headers["X-RTF"] = f"{result.rtf:.4f}"
    return response


def delete_job(job_id: str) -> flask.Response:
    """Cancel a live job; erase an ended one with its audio.  Ask again to erase what was cancelled."""
    stores = services().stores
    _job(job_id)
    gone = erase_job(stores.jobs, stores.blobs, job_id)
    if gone is not None:
        erased, files = gone
        return flask.jsonify({"id": job_id, "status": erased.status.value, "deleted": True, "files": files})
    job = stores.jobs.request_cancel(job_id)
    if job is None:
        raise ServiceError(ErrorCode.JOB_NOT_FOUND, job_id=job_id)
    return flask.jsonify({**job_response.shown(job, stores.jobs), "deleted": False})


def _job(job_id: str) -> Job:
    """The job, if it is the caller's to see; what is not is not there."""
    job = services().stores.jobs.get(job_id) if JOB_ID.fullmatch(job_id) else None
    owner = auth.key_id()
    if job is None or (owner is not None and job.owner != owner):
        raise ServiceError(ErrorCode.JOB_NOT_FOUND, job_id=job_id)
    return job


def _refuse_unbuilt(submission: JobSubmission) -> None:
    """Fields of the interface this version does not serve: better refused than taken and forgotten."""
    if submission.ssml is not None:
        error = FieldError("ssml", "ssml is not supported by this version")
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=(error,))


def _idempotency_key() -> str | None:
    key = flask.request.headers.get("Idempotency-Key", "").strip()
    if len(key) > _MAX_KEY:
        raise _invalid("Idempotency-Key", FieldProblem.TOO_LONG, str(_MAX_KEY))
    return key or None


def _body_hash(body: incoming.Incoming) -> str:
    """Of the fields and files, not of the bytes: a form's boundary differs on each send."""
    files = {name: _content_hash(part) for name, part in body.files.items()}
    return body_hash({**body.fields, **files})


def _content_hash(part: FileStorage) -> str:
    part.stream.seek(0)
    found = hashlib.sha256()
    while data := part.stream.read(1 << 16):
        found.update(data)
    return found.hexdigest()


def _wait_s() -> float:
    text = flask.request.args.get("wait")
    if text is None:
        return negotiation.wish(flask.request).wait_s or 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise _invalid("wait", FieldProblem.NOT_NUMBER, "0..160")
    return seconds


def _invalid(name: str, problem: FieldProblem, limit: str) -> ServiceError:
    return ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error(name, problem, limit),))
