"""What OpenAI's clients say, in our words: models, voices, defaults, and what of it has no effect here.

Not here: the shape of their errors (problems.py), and reading of fields, which is the same for all (contract/wire.py).
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import (
    DEFAULT_VOICE,
    AudioFormat,
    Quality,
    SpeechRequest,
    StreamFormat,
    Voice,
    VoiceType,
)
from contract.wire import Parsed, parse_speech
from contract.wire_fields import is_absent
from contract.wire_voices import voice_id_for
from megatts3_server.voice_registration import VoiceRegistration

OUR_MODEL = "megatts3"
MODELS: Mapping[str, Quality] = {  # one network is installed; a model's name chooses how well it is used
    "tts-1": Quality.STANDARD,  # "optimised for speed", where tts-1-hd is for quality
    "tts-1-hd": Quality.HIGH,
    "gpt-4o-mini-tts": Quality.HIGH,
    OUR_MODEL: Quality.HIGH,
}
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")  # a model's snapshot, such as gpt-4o-mini-tts-2025-12-15

# Names every client knows.  Each stands for one of the shipped voices, by its place here, always the same.
VOICES = (
    *("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"),
    *("marin", "nova", "onyx", "sage", "shimmer", "verse"),
)
_NO_EFFECT = frozenset({"model", "instructions"})


def parse(body: Mapping[str, object], *, max_text: int) -> tuple[Parsed[SpeechRequest], tuple[str, ...]]:
    """The request with the dialect's defaults, and warnings about what has no effect.

    Where nothing is said of streaming, compressed audio and bare samples are sent as they come, as OpenAI does; WAV is
    sent whole, with its length, for a client that saves it.
    """
    if "input" not in body and "text" not in body:
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error("input", FieldProblem.MISSING),))
    model = body.get("model")
    quality, warnings = _quality(model)
    defaults = SpeechRequest(text="", response_format=AudioFormat.MP3)
    inner = body.get("parameters")
    if is_absent(body.get("quality")) and not (isinstance(inner, Mapping) and "quality" in inner):
        body = {**body, "quality": quality.value}
    parsed = parse_speech(body, max_text=max_text, defaults=defaults, ignored=_NO_EFFECT)
    if not is_absent(body.get("instructions")):
        if parsed.value.strict:
            raise ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error("instructions", FieldProblem.UNKNOWN),))
        warnings = (*warnings, "instructions have no effect: an emotion picks a style of the voice")
    return replace(parsed, value=_streamed(parsed.value, body)), warnings


def voice_id(name: str, voices: VoiceRegistration) -> str:
    """The id of the voice a client means: its own id, its display name, or a name every client knows."""
    candidate = voice_id_for(name)
    if candidate.lower() not in VOICES or voices.has(candidate):
        return candidate
    shipped = [voice.id for voice, _ in voices.list() if voice.type is VoiceType.BUILTIN]
    shipped.sort(key=lambda found: (found != DEFAULT_VOICE, found))
    return shipped[VOICES.index(candidate.lower()) % len(shipped)] if shipped else DEFAULT_VOICE


def model_object(name: str, *, created: int) -> dict[str, object]:
    return {"id": name, "object": "model", "created": created, "owned_by": "megatts3-server"}


def voice_object(voice: Voice) -> dict[str, object]:
    """As the SDK's own type, with the members other clients of the dialect read."""
    return {
        "id": voice.id,
        "object": "audio.voice",
        "type": "audio_sample",
        "name": voice.name,
        "created_at": int(voice.created_at),
        "language": voice.language or None,
        "status": voice.status.value,
    }


def known_model(name: str) -> str | None:
    """The model's name without its date; None for one nobody knows."""
    plain = _DATED.sub("", name)
    return plain if plain in MODELS else None


def _quality(model: object) -> tuple[Quality, tuple[str, ...]]:
    if is_absent(model):
        return Quality.HIGH, ()
    known = known_model(str(model))
    if known is None:
        return Quality.HIGH, (f"model {str(model)[:64]!r} is not known: the installed one speaks",)
    return MODELS[known], ()


def _streamed(request: SpeechRequest, body: Mapping[str, object]) -> SpeechRequest:
    if not is_absent(body.get("stream")) or request.stream_format is StreamFormat.SSE:
        return request
    is_asked = not is_absent(body.get("stream_format"))
    return replace(request, stream=is_asked or request.response_format is not AudioFormat.WAV)
