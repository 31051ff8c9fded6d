"""How a job looks to a client: JSON made from the record, nothing computed twice."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from contract.errors import ErrorInfo, ServiceError
from contract.fingerprint import UPLOADED
from contract.messages import Language, describe
from contract.schemas import ItemState, Job, JobResult, JobStatus, SpeechRequest

Json = dict[str, Any]  # Any: what JSON holds


def job_url(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}"


def item_url(job_id: str, index: int) -> str:
    return f"{job_url(job_id)}/items/{index}"


def moment(unix_s: float | None) -> str | None:
    """Unix seconds as RFC 3339, UTC, milliseconds."""
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def view(
    job: Job,
    *,
    now_s: float,
    language: Language,
    queue_position: int | None = None,
    items: Mapping[int, ItemState] | None = None,
) -> Json:
    """The job without its text: it may be a book, and the client has it.

    items: how its items stand, to be told each; None tells their number only
    """
    request = job.request
    seen: Json = {
        "id": job.id,
        "status": job.status.value,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "deadline_at": moment(job.deadline_at),
        "priority": job.priority.value,
        "voice_id": None if request.voice_id == UPLOADED or len(job.voices) > 1 else request.voice_id,
        "characters": job.characters,
        "parameters": parameters(request),
        "response_format": request.response_format.value,
        "sample_rate": request.sample_rate,
        "estimate_s": round(job.estimate_s, 3),
        "attempts": job.attempts,
        "cancel_requested": job.cancel_requested,
        "metadata": dict(job.metadata),
        "progress": _progress(job, now_s=now_s),
        "queue_position": queue_position,
        "url": job_url(job.id),
        "request_id": job.request_id,
    }
    if job.status is JobStatus.DONE and job.result is not None:
        seen |= _result(job)
    if job.items and items is not None:
        seen["items"] = [item_view(job, n, items.get(n), language=language) for n in range(job.items)]
    return seen | _error(job.error, language)


def item_view(job: Job, index: int, state: ItemState | None, *, language: Language) -> Json:
    """One item.  What had not ended when its job did ended with it."""
    state = state or ItemState(JobStatus.QUEUED)
    if job.status.is_terminal and not state.status.is_terminal:
        state = ItemState(job.status, error=job.error)
    url = item_url(job.id, index)
    seen: Json = {"index": index, "status": state.status.value, "url": url}
    if state.status is JobStatus.DONE and state.result is not None:
        seen |= _audio(state.result, url)
    return seen | _error(state.error, language)


def _error(error: ErrorInfo | None, language: Language) -> Json:
    if error is None:
        return {}
    told = describe(ServiceError(error.code, error.detail), language)
    return {"error": told, "error_code": error.code.value}


def parameters(request: SpeechRequest) -> Json:
    """What shapes the speech, under the names the clients use."""
    return {
        "speed": request.speed,
        "pitch": request.pitch,
        "emotion": request.emotion,
        "time_step": request.time_step,
        "p_w": request.p_w,
        "t_w": request.t_w,
        "seed": request.seed,
    }


def _progress(job: Job, *, now_s: float) -> Json:
    progress = job.progress
    seen: Json = {
        "segments_done": progress.segments_done,
        "segments_total": progress.segments_total,
        "steps_done": progress.steps_done,
        "steps_total": progress.steps_total,
        "audio_s": round(progress.audio_s, 3),
        "fraction": 1.0 if job.status is JobStatus.DONE else 0.0,
        "eta_s": None,
    }
    if job.items:
        seen |= {
            "items_total": job.items,
            "items_done": progress.items_done,
            "items_failed": progress.items_failed,
        }
    if job.status is JobStatus.RUNNING and job.started_at is not None and progress.steps_total:
        fraction = min(1.0, progress.steps_done / progress.steps_total)
        seen["fraction"] = round(fraction, 4)
        if fraction > 0:
            spent_s = max(0.0, now_s - job.started_at)
            seen["eta_s"] = round(spent_s * (1 - fraction) / fraction, 1)
    return seen


def _result(job: Job) -> Json:
    assert job.result is not None
    seen = _audio(job.result, job_url(job.id))
    if job.items:  # each has its own
        seen |= {"audio_url": None, "content_type": None}
    return seen


def _audio(result: JobResult, url: str) -> Json:
    return {
        "audio_url": f"{url}/audio",
        "timestamps_url": f"{url}/timestamps" if result.timestamps_blob else None,
        "content_type": result.audio_format.content_type,
        "duration_s": round(result.duration_s, 3),
        "predicted_s": None if result.predicted_s is None else round(result.predicted_s, 3),
        "sample_rate": result.sample_rate,
        "size_bytes": result.size_bytes,
        "segments": result.segments,
        "segments_reused": result.segments_reused,
        "rtf": round(result.rtf, 4),
        "cache": result.cache,
        "warnings": list(result.warnings),
    }
