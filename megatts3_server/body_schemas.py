"""Bodies as the OpenAPI document shows them: the schemas that validate, and what is read beside them."""

import marshmallow as ma
from marshmallow import fields

from contract.wire_schemas import JobSchema, SpeechSchema
from contract.wire_voices import VoiceChangesSchema, VoiceUploadSchema

_CLIP = {"type": "string", "format": "binary", "description": "Reference audio: wav, mp3, flac, m4a, ogg"}
_LATENT = {"type": "string", "format": "binary", "description": "Supplied latent: .npy, float, (T, 32)"}
_TEXT = {"type": "string", "minLength": 1, "pattern": r"\S"}
_MOST_ITEMS = 1000
_PARAMETERS = {"description": "speed, pitch, emotion and the like may sit in here as well as beside it"}


class SpeechBodySchema(SpeechSchema):
    parameters = fields.Dict(metadata=_PARAMETERS)

    def __init__(self) -> None:
        super().__init__()
        self.fields["text"].required = True


class SpeechFormSchema(SpeechBodySchema):
    voice_file = fields.Raw(metadata=_CLIP)
    voice_latent = fields.Raw(metadata=_LATENT)


class JobBodySchema(JobSchema):
    parameters = fields.Dict(metadata=_PARAMETERS)
    items = fields.List(
        fields.Raw(
            metadata={"oneOf": [_TEXT, {"type": "object", "properties": {"text": _TEXT}, "required": ["text"]}]}
        ),
        metadata={
            "description": "Texts instead of one; each a string, or an object with what differs from the rest",
            "minItems": 1,
            "maxItems": _MOST_ITEMS,
        },
    )

    class Meta:
        exclude = ("ssml",)  # refused by name until it is built

    def __init__(self) -> None:
        super().__init__(max_text=1_000_000)


class JobFormSchema(JobBodySchema):
    items = fields.Raw(  # type: ignore[assignment] # a form has no lists of objects
        metadata={"type": "string", "description": "As in a body of JSON, as JSON in one part"}
    )
    voice_file = fields.Raw(metadata=_CLIP)
    voice_latent = fields.Raw(metadata=_LATENT)


class VoiceFormSchema(VoiceUploadSchema):
    voice_file = fields.Raw(required=True, metadata=_CLIP)
    voice_latent = fields.Raw(metadata=_LATENT)


ONE_OF_THESE = {  # fields of which a body needs one, by the schema's name in the document
    "VoiceForm": ("voice_id", "name"),
    "DialectVoice": ("name", "voice_id"),
}

ONLY_ONE_OF_THESE = {  # of which a body needs one and may not have another
    "JobBody": ("text", "items"),
    "JobForm": ("text", "items"),
}

Bodies = dict[str, type[ma.Schema]]  # schema by content type

SPEECH: Bodies = {"application/json": SpeechBodySchema, "multipart/form-data": SpeechFormSchema}
JOB: Bodies = {"application/json": JobBodySchema, "multipart/form-data": JobFormSchema}
VOICE: Bodies = {"multipart/form-data": VoiceFormSchema}
VOICE_CHANGES: Bodies = {"application/json": VoiceChangesSchema, "multipart/form-data": VoiceChangesSchema}
