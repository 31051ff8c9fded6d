"""Synthesize now: parse, submit, wait, render.  Both routes take JSON and forms, with or without a clip."""

import flask

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, JobStatus, SpeechRequest, StreamFormat
from contract.wire import Parsed, parse_speech
from contract.wire_fields import is_absent
from megatts3_server import audio_sniff, incoming, job_response, negotiation, speech_response, streamed_answer, uploads
from megatts3_server.format_check import require_readable
from megatts3_server.services import Services, caller, services, sync_time_left_s
from megatts3_server.speech_response import Speech
from megatts3_server.submission import Resolved, Terms
from megatts3_server.uploads import Reference


def synthesize() -> flask.Response:
    """Text to speech with a registered voice; the answer is the audio."""
    parsed, reference, has_voice_id = read_speech(services(), max_text=services().settings.limits.max_text)
    return answer(parsed, reference, warnings=_voice_warning(reference, has_voice_id=has_voice_id))


def synthesize_file() -> flask.Response:
    """Text to speech with the voice of an uploaded recording; the answer is the audio."""
    parsed, reference, has_voice_id = read_speech(services(), max_text=services().settings.limits.max_text)
    if reference is None and not has_voice_id:
        raise uploads.missing_clip()
    return answer(parsed, reference, warnings=_voice_warning(reference, has_voice_id=has_voice_id))


def read_speech(built: Services, *, max_text: int) -> tuple[Parsed[SpeechRequest], Reference | None, bool]:
    """The request, the reference audio with it, and whether a registered voice was named."""
    body = incoming.read(flask.request, file_names=uploads.FILE_NAMES)
    parsed = parse_speech(body.fields, max_text=max_text)
    reference = read_reference(built, body)
    has_voice_id = any(not is_absent(body.fields.get(name)) for name in ("voice_id", "voice"))
    return parsed, reference, has_voice_id


def read_reference(built: Services, body: incoming.Incoming) -> Reference | None:
    if not body.files:
        return None
    snapshot = built.workers.snapshot()
    encodes = snapshot.encoder_available or not snapshot.able  # nobody to ask: admission says what is wrong
    found = uploads.reference(body.files, built.settings.storage, encoder_available=encodes)
    if found is not None and (kind := audio_sniff.audio_format(found.clip)) is not None:
        require_readable(kind, snapshot, field=uploads.CLIP_NAMES[0])
    return found


def answer(
    parsed: Parsed[SpeechRequest], reference: Reference | None, *, warnings: tuple[str, ...] = ()
) -> flask.Response:
    """The audio in the form that was asked for, or a job; on whichever route the request came."""
    built = services()
    wish = negotiation.wish(flask.request)
    resolved = built.submission.resolve(parsed.value, reference)
    warnings = (*speech_response.unknown_fields(parsed.unknown), *resolved.warnings, *warnings)
    if wish.wait_s == 0:
        return _accept(built, resolved, warnings)
    stream_format = None if wish.as_json else streamed_answer.wanted(flask.request, resolved.request)
    if stream_format is not None:
        return _stream(built, resolved, stream_format, warnings)
    if parsed.value.stream:
        warnings = (*warnings, "stream: the audio comes whole")
    outcome = _speak(built, resolved, wait_s=wish.wait_s)
    if isinstance(outcome, Job):
        return job_response.accepted(outcome, warnings)
    return speech_response.render(outcome, resolved.request, as_json=wish.as_json, warnings=warnings)


def _voice_warning(reference: Reference | None, *, has_voice_id: bool) -> tuple[str, ...]:
    """Two voices were named."""
    both = reference is not None and has_voice_id
    return ("voice_id ignored: the uploaded recording is used",) if both else ()


def _speak(built: Services, resolved: Resolved, *, wait_s: float | None) -> Speech | Job:
    """The speech, from the cache or spoken now; the live job when `wait_s` is over.

    Without `wait_s` the caller wants audio or an error, and the end of our patience is DEADLINE_EXCEEDED.
    """
    cached = built.submission.cached(resolved)
    if cached is not None:
        return speech_response.from_cache(cached)
    left_s = sync_time_left_s()
    patience_s = left_s if wait_s is None else min(wait_s, left_s)
    job = built.submission.speak(resolved, caller(), timeout_s=patience_s)
    if job.status is JobStatus.DONE:
        return speech_response.from_job(job, built.submission.audio(job))
    if wait_s is None:
        raise ServiceError(ErrorCode.DEADLINE_EXCEEDED, job_id=job.id)
    return job


def _stream(
    built: Services, resolved: Resolved, stream_format: StreamFormat, warnings: tuple[str, ...]
) -> flask.Response:
    """The audio as its segments finish; whole where it is there already."""
    cached = built.submission.cached(resolved)
    if cached is not None:
        speech = speech_response.from_cache(cached)
    else:
        heard = built.submission.listen(resolved, caller(), timeout_s=sync_time_left_s())
        if not isinstance(heard, Job):
            return streamed_answer.live(heard, stream_format, warnings=warnings)
        speech = speech_response.from_job(heard, built.submission.audio(heard))
    if stream_format is StreamFormat.SSE:
        return streamed_answer.whole(speech, resolved.request, warnings=warnings)
    return speech_response.render(speech, resolved.request, as_json=False, warnings=warnings)


def _accept(built: Services, resolved: Resolved, warnings: tuple[str, ...]) -> flask.Response:
    return job_response.accepted(built.submission.submit(resolved, Terms(), caller()), warnings)
