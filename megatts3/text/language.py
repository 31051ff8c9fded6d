"""Which language a text, and each span of it, is in.  By script alone: detectors are random or heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from megatts3.text.cleaning import is_han

Language = Literal["zh", "en"]

# From a Latin word to a Latin word, with anything but Han and full-width marks between: an English phrase and
# the numbers inside it.  Letters glued to digits (5G, 30km/h, US$5) begin and end nothing.
_WORD = r"[A-Za-z][A-Za-z'-]*"
_EDGE = r"A-Za-z0-9%$€£¥+/@#&_*="
_FOREIGN = r"\s\u3001\u3002\uff00-\uffef\u2e80-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_PHRASE = re.compile(rf"(?<![{_EDGE}.'-]){_WORD}(?:[,.;:!?]?\s(?:[^{_FOREIGN}]+\s)*{_WORD})?(?![{_EDGE}'-])")


@dataclass(frozen=True)
class LanguageSpan:
    """A stretch of text in one language."""

    text: str
    language: Language


def language_of(text: str) -> Language:
    """`zh` if there is a Han character, else `en`."""
    return "zh" if any(is_han(character) for character in text) else "en"


def language_spans(text: str, default: Language | None = None) -> tuple[LanguageSpan, ...]:
    """Cut a text where the language changes; joined again, the spans are the text.

    English words inside Chinese text are English, and so are numbers and symbols between two of them.  All
    else takes the language of the text, `default`, or the one its script says.
    """
    default = default or language_of(text)
    if default == "en" and language_of(text) == "en":
        return (LanguageSpan(text, "en"),) if text else ()
    spans: list[LanguageSpan] = []
    done = 0
    for match in _PHRASE.finditer(text):
        if match.start() > done:
            spans.append(LanguageSpan(text[done : match.start()], "zh"))
        spans.append(LanguageSpan(match[0], "en"))
        done = match.end()
    if done < len(text):
        spans.append(LanguageSpan(text[done:], "zh"))
    return tuple(spans)
