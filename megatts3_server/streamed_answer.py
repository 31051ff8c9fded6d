"""Audio as an answer while it is spoken: a chunked body, or server-sent events.

What goes wrong before the first byte is an error answer like any other.  What goes wrong after it must be seen too:
events end with `speech.audio.error`, and a chunked body ends without its last chunk, which every client reports as
a broken transfer; it never looks like audio that merely is short.
"""

import base64
import errno
import json
from collections.abc import Callable, Iterable, Iterator

import flask

from contract.errors import ServiceError
from contract.schemas import SpeechRequest, StreamFormat
from contract.telemetry import event_log
from megatts3_server import problems, request_id, speech_response
from megatts3_server.listening import Listener
from megatts3_server.speech_response import Speech
from megatts3_server.waiting import ClientGone

log = event_log(__name__)

EVENTS = "text/event-stream"
_PATIENCE_S = 300.0  # between two segments: a job that has begun and says nothing for so long is given up
_KEEP_ALIVE_S = 15.0  # proxies close connections that are silent for long
_DELTA_BYTES = 24_576  # of audio in one event; whole samples, and whole groups of base64

Describe = Callable[[ServiceError], dict[str, object]]


class StreamBroken(OSError):
    """Ends a body that has begun: the server closes the connection and writes no last chunk (EPIPE: quietly)."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the audio ended before its end")


def wanted(request: flask.Request, speech: SpeechRequest) -> StreamFormat | None:
    """How to stream, if at all.  A chunked body needs HTTP/1.1: an older client could not tell a broken one."""
    accepts_events = request.accept_mimetypes[EVENTS] > max(
        request.accept_mimetypes[speech.response_format.content_type], request.accept_mimetypes["application/json"]
    )
    if speech.stream_format is StreamFormat.SSE or accepts_events:
        return StreamFormat.SSE
    is_chunked = request.environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
    return StreamFormat.AUDIO if speech.stream and is_chunked and speech.response_format.is_streamable else None


def live(listener: Listener, stream_format: StreamFormat, *, warnings: Iterable[str]) -> flask.Response:
    """The rest of what a listener hears."""
    job = listener.job
    if stream_format is StreamFormat.SSE:
        body = _events_of(listener, _describer())
        response = _events(body)
    else:
        response = flask.Response(_audio(listener), mimetype=job.request.response_format.content_type)
        name = f"speech.{job.request.response_format.value}"
        response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    response.call_on_close(listener.close)
    headers = response.headers
    headers["X-Job-ID"] = job.id
    headers["X-Cache"] = "miss"
    headers["X-Audio-Sample-Rate"] = str(job.request.sample_rate)
    queued_ms = ((job.started_at or job.created_at) - job.created_at) * 1000
    headers["Server-Timing"] = f"queue;dur={queued_ms:.1f}, cache;desc=miss"
    headers["Vary"] = "Accept, Prefer"
    _unbuffered(response)
    speech_response.warn(response, warnings)
    return response


def whole(speech: Speech, request: SpeechRequest, *, warnings: Iterable[str]) -> flask.Response:
    """Audio that is there already, as events."""
    response = _events(_events_of_bytes(speech, request))
    speech_response.describe(response, speech)
    _unbuffered(response)
    speech_response.warn(response, (*warnings, *speech.warnings))
    return response


def _audio(listener: Listener) -> Iterator[bytes]:
    try:
        yield from (piece for piece in listener.pieces(patience_s=_PATIENCE_S, every_s=_KEEP_ALIVE_S) if piece)
    except ServiceError as error:
        log.warning("stream_broken", job=listener.job.id, code=error.code.value)
        raise StreamBroken from error
    except ClientGone:
        return
    finally:
        listener.close()


def _events_of(listener: Listener, describe: Describe) -> Iterator[bytes]:
    try:
        for piece in listener.pieces(patience_s=_PATIENCE_S, every_s=_KEEP_ALIVE_S):
            yield from _deltas(piece) if piece else (b": waiting\n\n",)
        yield _done(listener.job.characters, listener.duration_s, job=listener.job.id)
    except ServiceError as error:
        log.warning("stream_broken", job=listener.job.id, code=error.code.value)
        yield _event("speech.audio.error", describe(error))
    except ClientGone:
        return
    finally:
        listener.close()


def _events_of_bytes(speech: Speech, request: SpeechRequest) -> Iterator[bytes]:
    yield from _deltas(speech.data)
    yield _done(len(request.text), speech.duration_s, job=speech.job_id)


def _deltas(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _DELTA_BYTES):
        encoded = base64.b64encode(data[start : start + _DELTA_BYTES]).decode("ascii")
        yield _event("speech.audio.delta", {"audio": encoded})


def _done(characters: int, duration_s: float, *, job: str | None) -> bytes:
    """`usage` counts what was said in characters and what came out in tokens of the latent, 25 a second."""
    given, made = characters, round(duration_s * 25)
    usage = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}
    return _event("speech.audio.done", {"usage": usage, "duration_s": round(duration_s, 3), "job_id": job})


def _event(kind: str, fields: dict[str, object]) -> bytes:
    text = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {text}\n\n".encode("utf-8", "replace")


def _events(body: Iterator[bytes]) -> flask.Response:
    return flask.Response(body, mimetype=EVENTS)


def _describer() -> Describe:
    """Errors in the language and with the id of the request, which is over when they are needed."""
    spoken, known_as = problems.language(), request_id.current()

    def describe(error: ServiceError) -> dict[str, object]:
        return {"error": problems.dialect_error(error, spoken), "request_id": known_as}

    return describe


def _unbuffered(response: flask.Response) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
