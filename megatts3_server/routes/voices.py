"""Voices: register, list, look, change, hear, delete."""

from contextlib import closing
from http import HTTPStatus

import flask

from contract import clip_quality
from contract.errors import ErrorCode, ServiceError
from contract.job_view import moment
from contract.messages import Language
from contract.schemas import Voice
from contract.voice_styles import MARK
from contract.wire_voices import parse_voice_changes, parse_voice_upload
from megatts3_server import (
    audio_sniff,
    incoming,
    problems,
    speech_response,
    stored_audio,
    uploads,
    voice_view,
)
from megatts3_server.routes.speech import read_reference
from megatts3_server.services import caller, services, sync_time_left_s
from megatts3_server.voice_view import voice_url

_CONTENT_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
}
_DONE = {Language.EN: "The voice is ready.", Language.ZH: "声音已就绪。"}
_DELETED = {Language.EN: "The voice was deleted.", Language.ZH: "声音已删除。"}


def upload_voice() -> flask.Response:
    """Register a voice from a recording; answers once it is prepared, or says what is wrong with it."""
    built = services()
    body = incoming.read(flask.request, file_names=uploads.FILE_NAMES)
    parsed = parse_voice_upload(body.fields)
    reference = read_reference(built, body)
    if reference is None:
        raise uploads.missing_clip()
    recording = built.voices.register(parsed.value, reference, caller(), timeout_s=sync_time_left_s())
    voice = built.voices.get(parsed.value.voice_id)
    language = problems.language()
    quality = clip_quality.described(recording.quality, language)
    seen = {
        "success": True,
        **voice_view.view(voice, language=language, styles=built.voices.styles(voice)),
        "style": recording.style,
        "quality": quality,
        "message": " ".join([_DONE[language], *clip_quality.sentences(quality)]),
    }
    response = flask.jsonify(seen)
    response.status_code = HTTPStatus.CREATED
    response.headers["Location"] = voice_url(voice.id)
    speech_response.warn(response, speech_response.unknown_fields(parsed.unknown))
    return response


def list_voices() -> flask.Response:
    """All voices, oldest first."""
    language = problems.language()
    listed = services().voices.list()
    voices = [voice_view.view(voice, language=language, styles=styles) for voice, styles in listed]
    return flask.jsonify({"voices": voices})


def show_voice(voice_id: str) -> flask.Response:
    """One voice with all its styles."""
    return _shown(services().voices.get(voice_id))


def change_voice(voice_id: str) -> flask.Response:
    """Change name, description, language, consent or style; the recording stays (upload with replace=true)."""
    body = incoming.read(flask.request)
    parsed = parse_voice_changes(body.fields)
    response = _shown(services().voices.change(voice_id, parsed.value))
    speech_response.warn(response, speech_response.unknown_fields(parsed.unknown))
    return response


def voice_audio(voice_id: str) -> flask.Response:
    """The recording a voice was made from, as it was uploaded; `style` picks one of several."""
    built = services()
    voice, blobs = built.voices.recording(voice_id, flask.request.args.get("style")), built.stores.blobs
    if voice.clip_blob is None or not blobs.exists(voice.clip_blob):
        raise ServiceError(ErrorCode.NOT_FOUND)
    with closing(stored_audio.Pieces(blobs, voice.clip_blob)) as clip:
        head = next(clip, b"")[: audio_sniff.HEAD_BYTES]
    kind = audio_sniff.audio_format(head) or "bin"
    return stored_audio.send(
        blobs,
        voice.clip_blob,
        content_type=_CONTENT_TYPES.get(kind, "application/octet-stream"),
        etag=f"{voice.id}-v{voice.version}",
        filename=f"{voice.id.replace(MARK, '-')}.{kind}",
    )


def delete_voice(voice_id: str) -> flask.Response:
    """Delete a voice, or one `style` of it, and erase everything made from it; the answer is the receipt."""
    erased = services().voices.delete(voice_id, style=flask.request.args.get("style"))
    receipt = {
        "files": erased.files,
        "cached_audio": erased.cached_audio,
        "jobs": erased.jobs,
        "jobs_cancelled": erased.jobs_cancelled,
        "styles": list(erased.styles),
    }
    return flask.jsonify(
        {
            "success": True,
            "voice_id": erased.voice.id,
            "id": erased.voice.id,
            "message": _DELETED[problems.language()],
            "erased": receipt,
            "erased_at": moment(erased.erased_at),
        }
    )


def _shown(voice: Voice) -> flask.Response:
    built = services()
    return flask.jsonify(voice_view.view(voice, language=problems.language(), styles=built.voices.styles(voice)))
