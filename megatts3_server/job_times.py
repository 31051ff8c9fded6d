"""When each segment and word of a finished job is heard: JSON, or subtitles (SubRip, WebVTT)."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flask

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import Job, JobResult
from contract.stores.interfaces import BlobStore
from megatts3_server.submission import done

Segment = Mapping[str, Any]  # Any: what the worker's JSON holds

_MS_PER_S = 1000


def answer(job: Job, blobs: BlobStore, request: flask.Request) -> flask.Response:
    """CONFLICT while the job is not finished; NOT_FOUND where no times were kept."""
    if not job.status.is_terminal:
        raise ServiceError(ErrorCode.CONFLICT, "The job is not finished yet.", job_id=job.id)
    result = done(job).result
    assert result is not None
    return of_result(job.id, result, blobs, request)


def of_result(job_id: str, result: JobResult, blobs: BlobStore, request: flask.Request) -> flask.Response:
    """Of a job, or of one of its items."""
    form = _form(request)
    if result.timestamps_blob is None:
        raise ServiceError(ErrorCode.NOT_FOUND, job_id=job_id)
    try:
        times = json.loads(blobs.get(result.timestamps_blob))
    except KeyError:
        raise ServiceError(ErrorCode.NOT_FOUND, job_id=job_id) from None
    if form == "json":
        return flask.jsonify({"id": job_id, "duration_s": round(result.duration_s, 3), **times})
    return flask.Response(_WRITERS[form](times["segments"]), content_type=f"{_TYPES[form]}; charset=utf-8")


def srt(segments: Sequence[Segment]) -> str:
    """SubRip: one caption a segment; a caption ends where the next begins."""
    return "\n".join(
        f"{number}\n{_moment(start_s, ',')} --> {_moment(end_s, ',')}\n{text}\n"
        for number, (start_s, end_s, text) in enumerate(_captions(segments), 1)
    )


def vtt(segments: Sequence[Segment]) -> str:
    """WebVTT: as SubRip, with its own marks."""
    cues = [
        f"{_moment(start_s, '.')} --> {_moment(end_s, '.')}\n{_escaped(text)}\n"
        for start_s, end_s, text in _captions(segments)
    ]
    return "\n".join(["WEBVTT\n", *cues])


_WRITERS: Mapping[str, Callable[[Sequence[Segment]], str]] = {"srt": srt, "vtt": vtt}
_TYPES = {"json": "application/json", "srt": "application/x-subrip", "vtt": "text/vtt"}


def _form(request: flask.Request) -> str:
    """`?format=` first, then what `Accept` likes best; JSON by default."""
    wanted = request.args.get("format")
    if wanted is None:
        best = request.accept_mimetypes.best_match(list(_TYPES.values()), default=_TYPES["json"])
        return next(form for form, kind in _TYPES.items() if kind == best)
    if wanted not in _TYPES:
        errors = (field_error("format", FieldProblem.NOT_A_CHOICE, ", ".join(_TYPES)),)
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=errors)
    return wanted


def _captions(segments: Sequence[Segment]) -> Iterator[tuple[float, float, str]]:
    """Start, end, text; segments overlap by their cross-fade, captions do not."""
    for place, segment in enumerate(segments):
        following = segments[place + 1 : place + 2]
        end_s = min(segment["end_s"], *(other["start_s"] for other in following), float("inf"))
        yield segment["start_s"], end_s, " ".join(str(segment["text"]).split())


def _moment(seconds: float, point: str) -> str:
    ms = round(seconds * _MS_PER_S)
    whole, ms = divmod(ms, _MS_PER_S)
    minutes, whole = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{ms:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
