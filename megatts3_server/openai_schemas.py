"""Bodies and answers of OpenAI's dialect, as the OpenAPI document shows them."""

import marshmallow as ma
from marshmallow import fields

from contract.wire_fields import Text
from contract.wire_schemas import SpeechSchema
from contract.wire_voices import VoiceUploadSchema
from megatts3_server.body_schemas import Bodies


class DialectSpeechSchema(SpeechSchema):
    """`input` is `text`, `voice` is `voice_id`; our further fields are understood too."""

    model = Text(
        128,
        description="tts-1 (quality standard), tts-1-hd and gpt-4o-mini-tts (high); others are taken for the latter",
    )
    input = Text(4096, description="What to say", strip=False)
    voice = fields.Raw(metadata={"description": 'A voice, a name such as alloy, or {"id": …}'})
    instructions = Text(None, description="Accepted; has no effect")

    def __init__(self) -> None:
        super().__init__()
        for name in ("text", "voice_id"):
            del self.fields[name]
        self.fields["input"].required = True


class DialectVoiceSchema(VoiceUploadSchema):
    audio_sample = fields.Raw(
        required=True,
        metadata={"type": "string", "format": "binary", "description": "Reference audio: wav, mp3, flac, m4a, ogg"},
    )


class DialectErrorFieldsSchema(ma.Schema):
    message = fields.String(required=True)
    type = fields.String(required=True)
    param = fields.String(allow_none=True)
    code = fields.String(allow_none=True)


class DialectErrorSchema(ma.Schema):
    error = fields.Nested(DialectErrorFieldsSchema, required=True)
    request_id = fields.String()


class ModelSchema(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True)
    created = fields.Integer(required=True)
    owned_by = fields.String(required=True)


class ModelListSchema(ma.Schema):
    object = fields.String(required=True)
    data = fields.List(fields.Nested(ModelSchema), required=True)


class DialectVoiceAnswerSchema(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True)
    type = fields.String(required=True)
    name = fields.String(required=True)
    created_at = fields.Integer(required=True)
    language = fields.String(allow_none=True)
    status = fields.String()


class DialectVoiceListSchema(ma.Schema):
    object = fields.String(required=True)
    data = fields.List(fields.Nested(DialectVoiceAnswerSchema), required=True)
    voices = fields.List(fields.Nested(DialectVoiceAnswerSchema), required=True)
    has_more = fields.Boolean()


class DialectVoiceDeletedSchema(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True)
    deleted = fields.Boolean(required=True)


SPEECH: Bodies = {"application/json": DialectSpeechSchema}
VOICE: Bodies = {"multipart/form-data": DialectVoiceSchema}
