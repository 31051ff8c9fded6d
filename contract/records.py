"""Jobs, voices and workers as Redis hashes: field names and texts a person can read with redis-cli.

A field that is None or empty is left out.  Unknown fields are passed over when read, so that processes of two
releases can share one Redis.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import (
    AudioFormat,
    Item,
    ItemState,
    Job,
    JobProgress,
    JobResult,
    JobStatus,
    Priority,
    Quality,
    SpeechRequest,
    StreamFormat,
    Voice,
    VoiceStatus,
    VoiceType,
    WorkerState,
)

Fields = dict[str, str]
_JOB_TEXTS = (
    "worker",
    "fingerprint",
    "shares",
    "reference_audio_blob",
    "reference_latent_blob",
    "request_id",
    "owner",
    "idempotency_key",
    "webhook_url",
)
_JOB_TIMES = ("started_at", "finished_at", "deadline_at", "lease_until")
_VOICE_TEXTS = (
    "style_of",
    "consent",
    "language",
    "clip_blob",
    "latent_blob",
    "prompt_blob",
    "fingerprint",
    "revision",
    "request_id",
    "owner",
)


def as_json(value: object) -> str:
    """Compact JSON, letters as they are; dataclasses become objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {k: v for k, v in vars(value).items() if v is not None}  # as asdict, without its deep copies
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    """What JSON does not know: a dataclass inside another, a mapping that is no dict."""
    return dict(value) if isinstance(value, Mapping) else vars(value)


def job_fields(job: Job) -> Fields:
    """Everything but what the store itself stamps when it is created (times, status)."""
    request = dict(vars(job.request))
    text = request.pop("text")
    found: dict[str, str | None] = {
        "id": job.id,
        "status": job.status.value,
        "priority": job.priority.value,
        "created_at": _time(job.created_at),
        "queued_at": _time(job.queued_at),
        "estimate_ms": str(round(job.estimate_s * 1000)),
        "attempts": str(job.attempts),
        "lost_at": None if job.lost_at is None else str(job.lost_at),
        "token": str(job.token),
        "cancel_requested": "1" if job.cancel_requested else "0",
        "text": text,
        "items": str(job.items) if job.items else None,
        "voices": as_json(list(job.voices)) if job.voices else None,
        "characters": None if job.written is None else str(job.written),
        "request": as_json({k: v for k, v in request.items() if v is not None}),
        "progress": as_json(job.progress),
        "metadata": as_json(dict(job.metadata)) if job.metadata else None,
        "result": result_json(job.result) if job.result else None,
        "error_code": job.error.code.value if job.error else None,
        "error_detail": job.error.detail if job.error else None,
    }
    found |= {name: getattr(job, name) for name in _JOB_TEXTS}
    found |= {name: _time(getattr(job, name)) for name in _JOB_TIMES}
    return {name: value for name, value in found.items() if value is not None}


def job_from_fields(fields: Mapping[str, str]) -> Job:
    request = json.loads(fields["request"])
    return Job(
        id=fields["id"],
        request=speech_request(fields.get("text", ""), request),
        status=JobStatus(fields["status"]),
        priority=Priority(fields["priority"]),
        created_at=float(fields["created_at"]),
        queued_at=float(fields["queued_at"]),
        estimate_s=int(fields["estimate_ms"]) / 1000,
        items=int(fields.get("items", 0)),
        voices=tuple(json.loads(fields.get("voices", "[]"))),
        follows=fields.get("follows") == "1",
        written=int(fields["characters"]) if "characters" in fields else None,
        attempts=int(fields["attempts"]),
        lost_at=int(fields["lost_at"]) if "lost_at" in fields else None,
        token=int(fields["token"]),
        cancel_requested=fields["cancel_requested"] == "1",
        progress=JobProgress(**_known(JobProgress, json.loads(fields["progress"]))),
        result=_result(json.loads(fields["result"])) if "result" in fields else None,
        error=_error(fields),
        metadata=json.loads(fields.get("metadata", "{}")),
        **{name: fields.get(name) for name in _JOB_TEXTS},  # type: ignore[arg-type] # all are str | None
        **{name: _seconds(fields.get(name)) for name in _JOB_TIMES},  # type: ignore[arg-type] # float | None
    )


def result_json(result: JobResult) -> str:
    return as_json(result)


def item_json(state: ItemState) -> str:
    told: dict[str, object] = {"status": state.status.value}
    if state.result is not None:
        told["result"] = {k: v for k, v in vars(state.result).items() if v is not None}
    if state.error is not None:
        told |= {"error_code": state.error.code.value, "error_detail": state.error.detail}
    return as_json(told)


def item_from_json(text: str) -> ItemState:
    told = json.loads(text)
    return ItemState(JobStatus(told["status"]), _result(told["result"]) if "result" in told else None, _error(told))


def items_to_bytes(items: Sequence[Item]) -> bytes:
    """The items of a job, for whoever speaks it."""
    told = [{**vars(item.request), "fingerprint": item.fingerprint} for item in items]
    return as_json([{k: v for k, v in each.items() if v is not None} for each in told]).encode()


def items_from_bytes(data: bytes) -> tuple[Item, ...]:
    return tuple(Item(speech_request(found["text"], found), found.get("fingerprint")) for found in json.loads(data))


def voice_fields(voice: Voice) -> Fields:
    found: dict[str, str | None] = {
        "id": voice.id,
        "name": voice.name,
        "type": voice.type.value,
        "status": voice.status.value,
        "version": str(voice.version),
        "description": voice.description,
        "style": voice.style,
        "duration_s": _time(voice.duration_s),
        "quality": as_json(dict(voice.quality)) if voice.quality else None,
        "losses": str(voice.losses) if voice.losses else None,
        "error_code": voice.error.code.value if voice.error else None,
        "error_detail": voice.error.detail if voice.error else None,
        "created_at": _time(voice.created_at),
        "updated_at": _time(voice.updated_at),
    }
    found |= {name: getattr(voice, name) for name in _VOICE_TEXTS}
    return {name: value for name, value in found.items() if value is not None}


def voice_from_fields(fields: Mapping[str, str]) -> Voice:
    return Voice(
        id=fields["id"],
        name=fields["name"],
        type=VoiceType(fields["type"]),
        status=VoiceStatus(fields["status"]),
        version=int(fields["version"]),
        description=fields.get("description", ""),
        style=fields.get("style", "neutral"),
        duration_s=_seconds(fields.get("duration_s")),
        quality=json.loads(fields.get("quality", "{}")),
        losses=int(fields.get("losses", 0)),
        error=_error(fields),
        created_at=float(fields["created_at"]),
        updated_at=float(fields["updated_at"]),
        **{name: fields.get(name) for name in _VOICE_TEXTS},
    )


def worker_fields(worker: WorkerState) -> Fields:
    """Texts as they are, the rest as JSON."""
    values = {k: v for k, v in dataclasses.asdict(worker).items() if v is not None}
    return {k: v if isinstance(v, str) else as_json(v) for k, v in values.items()}


def worker_from_fields(fields: Mapping[str, str]) -> WorkerState:
    texts = {item.name for item in dataclasses.fields(WorkerState) if item.type in {"str", "str | None"}}
    known = _known(WorkerState, fields)
    values: dict[str, Any] = {k: v if k in texts else json.loads(v) for k, v in known.items()}
    values |= {name: tuple(values.get(name, ())) for name in ("capabilities", "reads", "writes")}
    return WorkerState(**values)


def speech_request(text: str, values: dict[str, Any]) -> SpeechRequest:
    """A request from its JSON, which is kept without the text."""
    values = _known(SpeechRequest, values)
    quality = values.get("quality")
    return SpeechRequest(
        **{
            **values,
            "text": text,
            "quality": Quality(quality) if quality else None,
            "response_format": AudioFormat(values["response_format"]),
            "stream_format": StreamFormat(values["stream_format"]),
        }
    )


def _result(values: dict[str, Any]) -> JobResult:
    values = _known(JobResult, values)
    return JobResult(
        **{
            **values,
            "audio_format": AudioFormat(values["audio_format"]),
            "warnings": tuple(values.get("warnings", ())),
        }
    )


def _error(fields: Mapping[str, str]) -> ErrorInfo | None:
    if "error_code" not in fields:
        return None
    try:
        code = ErrorCode(fields["error_code"])
    except ValueError:  # written by a newer release
        code = ErrorCode.INTERNAL
    return ErrorInfo(code, fields.get("error_detail", ""))


def _known(record: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(record)}
    return {name: value for name, value in values.items() if name in names}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.6f}"


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)
