"""The marshmallow schemas of request bodies, by canonical name; ALIASES are the other spellings."""

from __future__ import annotations

from collections.abc import Mapping

from marshmallow import Schema

from contract import schemas
from contract.wire_fields import (
    Choice,
    JsonObject,
    Number,
    Text,
    Truth,
    VoiceReference,
    WebAddress,
    WholeNumber,
)

ALIASES: Mapping[str, tuple[str, ...]] = {
    "text": ("input",),
    "voice_id": ("voice",),
    "time_step": ("infer_timestep", "steps"),
    "p_w": ("p_weight", "text_guidance"),
    "t_w": ("t_weight", "speaker_guidance"),
    "response_format": ("format",),
}

MAX_SEED = 2**63 - 1
MAX_METADATA_BYTES = 16_384
_OTHER_FORMATS = {
    "wave": schemas.AudioFormat.WAV,
    "mpeg": schemas.AudioFormat.MP3,
    "ogg": schemas.AudioFormat.OPUS,
}


class SpeechSchema(Schema):
    """The body of a synthesis request.  A field that is absent stays absent: its default is the dialect's."""

    text = Text(None, description="What to say", strip=False)
    voice_id = VoiceReference()
    speed = Number(0.25, 4.0, description="2.0 is about half as long")
    pitch = Number(0.5, 2.0, description="The rendered audio is shifted; its length stays")
    emotion = Text(64, description="Picks a style of the voice")
    time_step = WholeNumber(1, 100, description="Solver steps")
    p_w = Number(0.0, 5.0, description="Intelligibility: near 1 keeps the accent, 2.5 standardises")
    t_w = Number(0.0, 10.0, description="Similarity to the voice")
    seed = WholeNumber(0, MAX_SEED, description="Same request, same seed, same bytes")
    cache = Truth(description="false neither reads nor writes the audio cache")
    strict = Truth(description="true: what would be a warning is an error")
    quality = Choice(schemas.Quality, description="Solver grid and step count by name; an explicit time_step wins")
    response_format = Choice(schemas.AudioFormat, description="Form of the audio", also=_OTHER_FORMATS)
    sample_rate = WholeNumber(8000, 48_000, description="Samples per second")
    stream = Truth(description="Audio as segments finish")
    stream_format = Choice(schemas.StreamFormat, description="audio or server-sent events")

    def __init__(self, *, max_text: int = 1000) -> None:
        super().__init__()
        text = Text(max_text, description="What to say", strip=False)
        for fields_of in (self.fields, self.load_fields):
            bound = fields_of["text"]
            assert isinstance(bound, Text)
            bound.max_length, bound.metadata = max_text, text.metadata


class JobSchema(SpeechSchema):
    """The body of a job; `items` is read beside it, each with SpeechSchema."""

    ssml = Text(1_000_000, description="SSML instead of text", strip=False)
    priority = Choice(schemas.Priority, description="interactive goes first")
    deadline_s = Number(1.0, 604_800.0, description="Seconds from now; then the job fails")
    webhook_url = WebAddress(2048, description="Told when the job ends")
    metadata = JsonObject(MAX_METADATA_BYTES, description="Yours; given back as it came")
