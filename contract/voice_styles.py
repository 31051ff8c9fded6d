"""A voice with several recordings: each further one is a record of its own, labelled with an emotion.

The first recording is the voice's record.  A further one has the id `<voice>~<style>`, which no client can spell
(`~` is in no voice id), and `style_of` names the voice.  So a style is stored, prepared, replaced and swept as a
voice is.  Both sides choose with `chosen`, so that the API's fingerprint is of the clip the worker uses.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from contract.schemas import Voice, VoiceStatus

NEUTRAL = "neutral"
MARK = "~"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class VoiceReader(Protocol):
    def get(self, voice_id: str) -> Voice | None: ...


@dataclass(frozen=True)
class Chosen:
    """The recording to use.  `is_exact` False: the voice has none of this style, and this is its neutral one."""

    voice: Voice
    is_exact: bool


def normal_style(label: str) -> str:
    """How a style is compared: `Happy ` is `happy`."""
    return label.strip().lower()


def style_id(voice_id: str, style: str) -> str:
    """Id of the record of a further recording."""
    return f"{voice_id}{MARK}{style_key(style)}"


def style_key(style: str) -> str:
    """A style's name as part of an id and of a blob's key: itself where it is plain, else a hash of it."""
    style = normal_style(style)
    return style if _PLAIN.fullmatch(style) else f"x{hashlib.sha256(style.encode()).hexdigest()[:12]}"


def voice_of(record_id: str) -> str:
    """The voice a record belongs to."""
    return record_id.partition(MARK)[0]


def chosen(voices: VoiceReader, voice_id: str, emotion: str) -> Chosen | None:
    """The recording for an emotion; None where there is no such voice.

    Without one of the wanted style: the neutral one, and without that the voice's first.
    """
    first = voices.get(voice_id)
    if first is None:
        return None
    emotion = normal_style(emotion)
    if normal_style(first.style) == emotion:
        return Chosen(first, is_exact=True)
    if (further := _ready(voices, voice_id, emotion)) is not None:
        return Chosen(further, is_exact=True)
    if emotion == NEUTRAL:
        return Chosen(first, is_exact=True)  # nobody asked for anything the voice has not
    neutral = first if normal_style(first.style) == NEUTRAL else _ready(voices, voice_id, NEUTRAL)
    return Chosen(neutral or first, is_exact=False)


def _ready(voices: VoiceReader, voice_id: str, style: str) -> Voice | None:
    found = voices.get(style_id(voice_id, style))
    return found if found is not None and found.status is VoiceStatus.READY else None
