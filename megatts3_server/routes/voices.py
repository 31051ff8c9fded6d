"""Voices: register, list, look, hear, delete."""

from http import HTTPStatus

import flask

from contract.errors import ErrorCode, ServiceError
from contract.messages import Language
from contract.wire_voices import parse_voice_upload
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
    voice = built.voices.register(parsed.value, reference, caller(), timeout_s=sync_time_left_s())
    language = problems.language()
    seen = {"success": True, **voice_view.view(voice, language=language), "message": _DONE[language]}
    response = flask.jsonify(seen)
    response.status_code = HTTPStatus.CREATED
    response.headers["Location"] = voice_url(voice.id)
    speech_response.warn(response, speech_response.unknown_fields(parsed.unknown))
    return response


def list_voices() -> flask.Response:
    """All voices, oldest first."""
    language = problems.language()
    voices = services().stores.voices.list()
    return flask.jsonify({"voices": [voice_view.view(voice, language=language) for voice in voices]})


def show_voice(voice_id: str) -> flask.Response:
    """One voice."""
    return flask.jsonify(voice_view.view(services().voices.get(voice_id), language=problems.language()))


def voice_audio(voice_id: str) -> flask.Response:
    """The recording a voice was made from, as it was uploaded."""
    voice, blobs = services().voices.get(voice_id), services().stores.blobs
    if voice.clip_blob is None or not blobs.exists(voice.clip_blob):
        raise ServiceError(ErrorCode.NOT_FOUND)
    path = blobs.path(voice.clip_blob)
    if path is not None:
        with path.open("rb") as clip:
            head = clip.read(audio_sniff.HEAD_BYTES)
    else:
        head = blobs.get(voice.clip_blob)[: audio_sniff.HEAD_BYTES]
    kind = audio_sniff.audio_format(head) or "bin"
    return stored_audio.send(
        blobs,
        voice.clip_blob,
        content_type=_CONTENT_TYPES.get(kind, "application/octet-stream"),
        etag=f"{voice.id}-v{voice.version}",
        filename=f"{voice.id}.{kind}",
    )


def delete_voice(voice_id: str) -> flask.Response:
    """Delete a voice and erase everything made from it; the answer is the receipt."""
    erased = services().voices.delete(voice_id)
    receipt = {"files": erased.files, "cached_audio": erased.cached_audio, "jobs": erased.jobs}
    return flask.jsonify(
        {
            "success": True,
            "voice_id": erased.voice.id,
            "id": erased.voice.id,
            "message": _DELETED[problems.language()],
            "erased": receipt,
        }
    )
