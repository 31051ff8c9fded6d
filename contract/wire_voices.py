"""From the form of a voice upload to a VoiceUpload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import VOICE_ID
from contract.voice_styles import NEUTRAL, normal_style
from contract.wire import LATENT_FILE_FIELDS, VOICE_FILE_FIELDS, Parsed
from contract.wire_fields import Text, Truth, is_absent


@dataclass(frozen=True)
class VoiceUpload:
    voice_id: str
    name: str
    description: str = ""
    consent: str | None = None
    language: str | None = None
    style: str = NEUTRAL
    replace: bool = False


@dataclass(frozen=True)
class VoiceChanges:
    """What a person wants changed; None stays as it is, an empty text clears."""

    name: str | None = None
    description: str | None = None
    consent: str | None = None
    language: str | None = None
    style: str | None = None


class VoiceUploadSchema(Schema):
    voice_id = Text(128, description="[A-Za-z0-9._-]{1,64}, or a display name that gets an id")
    name = Text(128, description="Shown to people")
    description = Text(2000, description="Shown to people")
    consent = Text(2000, description="Who agreed to this voice being used, and how")
    language = Text(16, description="zh or en")
    style = Text(64, description="The emotion of this recording; a further one is a further recording of the voice")
    replace = Truth(description="true replaces a voice that has this id")


class VoiceChangesSchema(Schema):
    name = Text(128, description="Shown to people")
    description = Text(2000, description="Shown to people; empty clears it")
    consent = Text(2000, description="Who agreed to this voice being used, and how; empty clears it")
    language = Text(16, description="zh or en; empty clears it")
    style = Text(64, description="What emotion the voice's first recording has")


CLEARABLE = ("description", "consent", "language")


def voice_id_for(name: str) -> str:
    """The id of a display name: itself when it is one, else made from it, always the same."""
    if VOICE_ID.fullmatch(name):
        return name
    return f"voice_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def parse_voice_upload(form: Mapping[str, Any]) -> Parsed[VoiceUpload]:
    """The text parts of an upload.  ServiceError(INVALID_VALUE) names field and limit."""
    schema = VoiceUploadSchema()
    given = {name: value for name, value in form.items() if not is_absent(value)}
    loaded = _load(schema, given)
    if "style" in loaded:
        loaded["style"] = normal_style(loaded["style"])
    shown = loaded.pop("name", None) or loaded.get("voice_id")
    if shown is None:
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error("voice_id", FieldProblem.MISSING),))
    voice_id = voice_id_for(loaded.pop("voice_id", shown))
    known = {*schema.fields, *VOICE_FILE_FIELDS, *LATENT_FILE_FIELDS}
    unknown = tuple(name for name in given if name not in known)
    return Parsed(VoiceUpload(voice_id=voice_id, name=shown, **loaded), unknown)


def parse_voice_changes(body: Mapping[str, Any]) -> Parsed[VoiceChanges]:
    """The body of a PATCH.  ServiceError(INVALID_VALUE) names field and limit."""
    schema = VoiceChangesSchema()
    cleared = {name: "" for name in CLEARABLE if isinstance(body.get(name), str) and not str(body[name]).strip()}
    given = {name: value for name, value in body.items() if value is not None and name not in cleared}
    loaded = _load(schema, given)
    if "style" in loaded:
        loaded["style"] = normal_style(loaded["style"])
    unknown = tuple(name for name in body if name not in schema.fields)
    return Parsed(VoiceChanges(**loaded, **cleared), unknown)


def _load(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(given, unknown=EXCLUDE)
    except ValidationError as error:
        problems = [
            field_error(name, FieldProblem(messages[0]), schema.fields[name].metadata.get("limit"))
            for name, messages in error.messages_dict.items()
        ]
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=tuple(problems)) from None
    return loaded
