"""OpenAI's dialect: speech, models, voices.  The same use cases as everywhere, in other words (openai_dialect.py)."""

import dataclasses

import flask

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.wire_voices import parse_voice_upload, voice_id_for
from megatts3_server import incoming, openai_dialect, speech_response, uploads
from megatts3_server.routes import speech
from megatts3_server.services import caller, services, sync_time_left_s

_SAMPLE = "audio_sample"  # the dialect's name of a recording
_OTHER_FIELDS = frozenset({"type", "model", "script_hint"})


def create_speech() -> flask.Response:
    """Text to speech: `input`, `voice`, `model`, `response_format`, `speed`, `stream_format`."""
    built = services()
    body = incoming.read(flask.request)
    parsed, warnings = openai_dialect.parse(body.fields, max_text=built.settings.limits.max_text_openai)
    voice_id = openai_dialect.voice_id(parsed.value.voice_id, built.voices)
    parsed = dataclasses.replace(parsed, value=dataclasses.replace(parsed.value, voice_id=voice_id))
    try:
        return speech.answer(parsed, None, warnings=warnings)
    except ServiceError as error:
        if error.code is ErrorCode.VOICE_NOT_FOUND:  # as this client spells it
            error.errors = (field_error("voice", FieldProblem.UNKNOWN),)
        raise


def list_models() -> flask.Response:
    """The names of models that are understood; one network is installed."""
    data = [openai_dialect.model_object(name, created=_started()) for name in openai_dialect.MODELS]
    return flask.jsonify({"object": "list", "data": data})


def show_model(model: str) -> flask.Response:
    """One model."""
    if openai_dialect.known_model(model) is None:
        raise ServiceError(ErrorCode.NOT_FOUND, errors=(field_error("model", FieldProblem.UNKNOWN),))
    return flask.jsonify(openai_dialect.model_object(model, created=_started()))


def list_audio_voices() -> flask.Response:
    """All voices, oldest first; `voices` and `data` are the same list under two clients' names."""
    voices = [openai_dialect.voice_object(voice) for voice, _ in services().voices.list()]
    return flask.jsonify({"object": "list", "data": voices, "voices": voices, "has_more": False})


def create_audio_voice() -> flask.Response:
    """Register a voice from a recording: `name`, `audio_sample`, `consent`."""
    built = services()
    body = incoming.read(flask.request, file_names=uploads.FILE_NAMES | {_SAMPLE})
    if body.fields.get("type") == "prompt":
        errors = (field_error("type", FieldProblem.NOT_A_CHOICE, "audio_sample"),)
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=errors)
    fields = {name: value for name, value in body.fields.items() if name not in _OTHER_FIELDS}
    files = {uploads.CLIP_NAMES[0] if name == _SAMPLE else name: part for name, part in body.files.items()}
    parsed = parse_voice_upload(fields)
    reference = speech.read_reference(built, incoming.Incoming(fields, files))
    if reference is None:
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error(_SAMPLE, FieldProblem.MISSING),))
    built.voices.register(parsed.value, reference, caller(), timeout_s=sync_time_left_s())
    response = flask.jsonify(openai_dialect.voice_object(built.voices.get(parsed.value.voice_id)))
    speech_response.warn(response, speech_response.unknown_fields(parsed.unknown))
    return response


def delete_audio_voice(name: str) -> flask.Response:
    """Delete a voice, by its id or name, with everything made from it."""
    erased = services().voices.delete(voice_id_for(name))
    return flask.jsonify({"id": erased.voice.id, "object": "audio.voice.deleted", "deleted": True})


def _started() -> int:
    """When the oldest worker that answers was started, in Unix seconds; 0 while there is none."""
    return int(min((worker.started_at for worker in services().workers.snapshot().ready), default=0))
