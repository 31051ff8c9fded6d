"""How a job looks to a client: JSON made from the record, nothing computed twice."""

from datetime import UTC, datetime
from typing import Any

from contract.errors import ServiceError
from contract.fingerprint import UPLOADED
from contract.messages import Language, describe
from contract.schemas import Job, JobStatus, SpeechRequest

Json = dict[str, Any]  # Any: what JSON holds


def job_url(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}"


def moment(unix_s: float | None) -> str | None:
    """Unix seconds as RFC 3339, UTC, milliseconds."""
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def view(job: Job, *, now_s: float, language: Language, queue_position: int | None = None) -> Json:
    """The job without its text: it may be a book, and the client has it."""
    request = job.request
    seen: Json = {
        "id": job.id,
        "status": job.status.value,
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "deadline_at": moment(job.deadline_at),
        "priority": job.priority.value,
        "voice_id": None if request.voice_id == UPLOADED else request.voice_id,
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
    if job.error is not None:
        error = ServiceError(job.error.code, job.error.detail)
        seen["error"] = describe(error, language)
        seen["error_code"] = job.error.code.value
    return seen


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
    if job.status is JobStatus.RUNNING and job.started_at is not None and progress.steps_total:
        fraction = min(1.0, progress.steps_done / progress.steps_total)
        seen["fraction"] = round(fraction, 4)
        if fraction > 0:
            spent_s = max(0.0, now_s - job.started_at)
            seen["eta_s"] = round(spent_s * (1 - fraction) / fraction, 1)
    return seen


def _result(job: Job) -> Json:
    result = job.result
    assert result is not None
    return {
        "audio_url": f"{job_url(job.id)}/audio",
        "timestamps_url": f"{job_url(job.id)}/timestamps" if result.timestamps_blob else None,
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
