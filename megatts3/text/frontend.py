"""The text front end: a user's text to segments of phones and tones.

language → normalise → segments → phones.  Which voice says it and how long each phone lasts comes later.
"""

from __future__ import annotations

from dataclasses import dataclass

from megatts3.errors import TextEmpty
from megatts3.text.language import Language
from megatts3.text.normalize import normalize
from megatts3.text.pronunciation import PhonemizedSegment, Pronouncer, RulePronouncer
from megatts3.text.segment import segments


@dataclass(frozen=True)
class Reading:
    """What the front end made of a text; `dropped`: the characters that will not be heard, each once."""

    language: Language
    normalized: str
    segments: tuple[PhonemizedSegment, ...]
    dropped: tuple[str, ...]


class TextFrontend:
    """Reads texts; safe to share between threads."""

    def __init__(self, pronouncer: Pronouncer | None = None) -> None:
        """`pronouncer`: what turns segments' texts into phones; absent, dictionaries and rules do."""
        self._pronouncer = pronouncer or RulePronouncer()

    def segments(self, text: str) -> list[PhonemizedSegment]:
        """The segments of a text, in order.

        Raises:
            TextEmpty: nothing in the text can be spoken.
        """
        return list(self.read(text).segments)

    def read(self, text: str) -> Reading:
        """Segments, and what became of the text on the way.

        Raises:
            TextEmpty: nothing in the text can be spoken.
        """
        normalized = normalize(text)
        parts = segments(normalized.text, normalized.language)
        pronounced = self._pronouncer.pronounce_all(parts, normalized.language)
        spoken = [segment for segment in pronounced if segment.is_speakable]
        if not spoken:
            raise TextEmpty
        unread = [character for segment in spoken for character in segment.unread]
        return Reading(
            normalized.language,
            normalized.text,
            tuple(spoken),
            tuple(dict.fromkeys([*normalized.dropped, *unread])),
        )
