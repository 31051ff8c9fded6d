"""The answer to a synthesis request: the audio itself, or JSON around it, with the same headers on both."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field

import flask

from contract.fingerprint import UPLOADED
from contract.job_view import parameters
from contract.schemas import AudioFormat, Job, SpeechRequest
from contract.stores.interfaces import CachedAudio

WARNING_HEADER = "X-Warnings"
_HEADER_LIMIT = 1000  # characters; some proxies drop responses with longer header lines


@dataclass(frozen=True)
class Speech:
    """Finished audio and what there is to say of it.  `job_id` None: from the cache, without a job."""

    data: bytes
    audio_format: AudioFormat
    duration_s: float
    sample_rate: int
    cache: str  # hit, partial or miss
    rtf: float = 0.0
    job_id: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)  # for Server-Timing
    warnings: tuple[str, ...] = ()


def from_cache(audio: CachedAudio) -> Speech:
    return Speech(audio.data, audio.audio_format, audio.duration_s, audio.sample_rate, cache="hit")


def from_job(job: Job, data: bytes) -> Speech:
    result = job.result
    assert result is not None
    started_at = job.started_at or job.created_at
    timings = {"queue": (started_at - job.created_at) * 1000, "synthesis": result.synthesis_s * 1000}
    timings |= result.stages_ms
    return Speech(
        data,
        result.audio_format,
        result.duration_s,
        result.sample_rate,
        cache=result.cache,
        rtf=result.rtf,
        job_id=job.id,
        timings_ms=timings,
        warnings=result.warnings,
    )


def render(speech: Speech, request: SpeechRequest, *, as_json: bool, warnings: Iterable[str]) -> flask.Response:
    """Exactly 200 with the audio, or `{success, audio_base64, …}`."""
    warnings = (*warnings, *speech.warnings)
    if as_json:
        response = flask.jsonify(_json(speech, request, warnings))
    else:
        response = flask.Response(speech.data, mimetype=speech.audio_format.content_type)
        filename = f"speech.{speech.audio_format.value}"
        response.headers["Content-Disposition"] = f'inline; filename="{filename}"'
    describe(response, speech)
    warn(response, warnings)
    return response


def describe(response: flask.Response, speech: Speech) -> None:
    """The headers that tell of finished audio."""
    headers = response.headers
    if speech.job_id is not None:
        headers["X-Job-ID"] = speech.job_id
    headers["X-Cache"] = speech.cache
    headers["X-Audio-Duration"] = f"{speech.duration_s:.3f}"
    headers["X-Audio-Sample-Rate"] = str(speech.sample_rate)
    headers["X-RTF"] = f"{speech.rtf:.4f}"
    timings = [f"{name};dur={spent_ms:.1f}" for name, spent_ms in speech.timings_ms.items()]
    headers["Server-Timing"] = ", ".join([*timings, f"cache;desc={speech.cache}"])
    headers["Vary"] = "Accept, Prefer"


def warn(response: flask.Response, warnings: Iterable[str]) -> None:
    """Say what was odd about a request that was served all the same, one header, printable ASCII only."""
    text = "; ".join(warnings).encode("ascii", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else "?" for c in text)[:_HEADER_LIMIT]
    if text:
        response.headers[WARNING_HEADER] = text


def unknown_fields(names: Iterable[str]) -> tuple[str, ...]:
    """The warning about fields nobody knows; empty where there are none."""
    shown = ", ".join(name[:64] for name in names)
    return (f"unknown fields ignored: {shown}",) if shown else ()


def _json(speech: Speech, request: SpeechRequest, warnings: tuple[str, ...]) -> dict[str, object]:
    return {
        "success": True,
        "audio_base64": base64.b64encode(speech.data).decode("ascii"),
        "content_type": speech.audio_format.content_type,
        "format": speech.audio_format.value,
        "text": request.text,
        "voice_id": None if request.voice_id == UPLOADED else request.voice_id,
        "parameters": parameters(request),
        "duration_s": round(speech.duration_s, 3),
        "sample_rate": speech.sample_rate,
        "size_bytes": len(speech.data),
        "rtf": round(speech.rtf, 4),
        "cache": speech.cache,
        "job_id": speech.job_id,
        "warnings": list(warnings),
    }
