"""Numbers, dates, units and symbols to words, Chinese and English: text a pronouncer can say.

Own rules take what the general normaliser (wetext) gets wrong, then wetext, then whatever is left is named or
dropped.  Work goes sentence by sentence: wetext is slow on long strings.  Normalising twice changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Protocol

from megatts3.text import chinese_rules, english_rules
from megatts3.text.cleaning import clean, settle
from megatts3.text.language import Language, LanguageSpan, language_of, language_spans

_MAX_PASSES = 4  # what is said can bring words together that are said otherwise; two are usual
MAX_SENTENCE = 200  # characters given to wetext at once
_SENTENCE = re.compile(
    rf".{{1,{MAX_SENTENCE}}}(?:[。!?;…]\s|。|\.\s|$)|.{{1,{MAX_SENTENCE}}}[\s,，、]|.{{1,{MAX_SENTENCE}}}",
    re.DOTALL,
)
# A digit, a symbol, a hyphen, an ASCII stop, or a Roman numeral.
_NEEDS_RULES = re.compile(r"[^A-Za-z\s,!?:;、…，。'\u4e00-\u9fff]|\b[IVX]{2,}\b")
_WETEXT_LOCK = Lock()  # its transducers are shared, and nothing says that two threads may use them at once


@dataclass(frozen=True)
class NormalizedText:
    """Text of letters, Han, apostrophes, blanks and marks; and the characters nobody could say."""

    text: str
    language: Language
    dropped: tuple[str, ...]


class _Normalizer(Protocol):
    def normalize(self, text: str) -> str: ...


def normalize(text: str, language: Language | None = None) -> NormalizedText:
    """Words and marks only.  `language` decides the marks' width and lone digits; else the script decides."""
    cleaned, dropped = clean(text)
    language = language or language_of(cleaned)
    spoken, before = cleaned, ""
    for _ in range(_MAX_PASSES):
        if spoken == before:
            break
        before = spoken
        spoken = "".join(_say_sentence(match[0], language) for match in _SENTENCE.finditer(spoken))
        spoken = settle(spoken, wide=language == "zh")
    return NormalizedText(spoken, language, dropped)


def _say_sentence(sentence: str, language: Language) -> str:
    if not _NEEDS_RULES.search(sentence):
        return sentence
    if language == "zh":  # addresses and telephone numbers hold Latin letters, so they come before the spans
        sentence = chinese_rules.addresses(sentence)
    return "".join(_say_span(span) for span in language_spans(sentence, language))


def _say_span(span: LanguageSpan) -> str:
    if not _NEEDS_RULES.search(span.text):
        return span.text
    if span.language == "zh":
        return chinese_rules.after(_wetext(chinese_rules.before(span.text), "zh"))
    return english_rules.after(_wetext(english_rules.before(span.text), "en"))


def _wetext(text: str, language: Language) -> str:
    """The general normaliser's reading of the numbers, or the text as it is where it has none."""
    if not re.search(r"\d", text):
        return text
    lead, body, tail = _outer_blanks(text)
    try:
        with _WETEXT_LOCK:
            spoken: str = _wetext_normalizer(language).normalize(body)
    except (AssertionError, RuntimeError, IndexError, KeyError, ValueError):
        return text  # it stumbles over some symbols; our own reading of what is left follows
    return f"{lead}{spoken}{tail}"


def _outer_blanks(text: str) -> tuple[str, str, str]:
    body = text.strip()
    start = text.index(body)
    return text[:start], body, text[start + len(body) :]


@cache
def _wetext_normalizer(language: Language) -> _Normalizer:
    from wetext import Normalizer  # noqa: PLC0415  0.3 s and 40 MiB that an import of ours must not cost

    normalizer: _Normalizer = Normalizer(lang=language, operator="tn", remove_erhua=False)
    return normalizer
