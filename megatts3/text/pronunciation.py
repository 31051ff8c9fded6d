"""Text of a segment to phones, by rules and dictionaries: Chinese by pypinyin, English by the lexicon.

A network can take this place: anything that is a `Pronouncer`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from megatts3.text.chinese import ChineseWord, chinese_words
from megatts3.text.english import EnglishSpeller
from megatts3.text.language import Language
from megatts3.text.lexicon import Lexicon
from megatts3.text.phones import ELLIPSIS, NO_TONE, SILENCE, is_speech, punctuation_phone, syllable_phones


@dataclass(frozen=True)
class WordSpan:
    """A word of the segment and where its phones are: first and last index, both included."""

    text: str
    first_phone: int
    last_phone: int


@dataclass(frozen=True)
class PhonemizedSegment:
    """A piece of text for one pass: phones (S,) and tones (S,), beginning with silence."""

    text: str
    phones: tuple[int, ...]
    tones: tuple[int, ...]
    language: Language
    words: tuple[WordSpan, ...] = ()
    unread: tuple[str, ...] = ()  # characters without a known reading
    pronounced_by: Literal["dictionary", "network"] = "dictionary"

    @property
    def is_speakable(self) -> bool:
        return any(is_speech(phone) for phone in self.phones)


class Pronouncer(Protocol):
    """Says which phones segments of normalised text are spoken with."""

    def pronounce_all(self, texts: Sequence[str], language: Language) -> list[PhonemizedSegment]: ...


_TOKEN = re.compile(r"(?P<english>[A-Za-z']+(?:[ -]+[A-Za-z']+)*)|(?P<han>[^\W\d_A-Za-z]+)|(?P<mark>\S)")


class RulePronouncer:
    """Dictionaries and rules; the data is read on first use and shared by all threads."""

    @cached_property
    def _english(self) -> EnglishSpeller:
        return EnglishSpeller(Lexicon.load())

    def pronounce_all(self, texts: Sequence[str], language: Language) -> list[PhonemizedSegment]:
        return [self.pronounce(text, language) for text in texts]

    def pronounce(self, text: str, language: Language) -> PhonemizedSegment:
        """Phones of one segment; English words are said in English whatever the segment's language."""
        builder = _Builder()
        sentence_begins = True
        for token in _TOKEN.finditer(text):
            if token.lastgroup == "english":
                words = token[0].replace("-", " ").split()
                for word, phones in zip(words, self._english.phones_of(words, first=sentence_begins), strict=True):
                    builder.add_word(word, phones, (NO_TONE,) * len(phones))
            elif token.lastgroup == "han":
                for chinese in chinese_words(token[0]):
                    builder.add_chinese(chinese)
            else:
                builder.add_mark(token[0])
            sentence_begins = token.lastgroup == "mark"
        return builder.segment(text, language)


class _Builder:
    """Collects the phones of one segment."""

    def __init__(self) -> None:
        self.phones = [SILENCE]
        self.tones = [NO_TONE]
        self.words: list[WordSpan] = []
        self.unread: list[str] = []

    def add_word(self, text: str, phones: tuple[int, ...], tones: tuple[int, ...]) -> None:
        if phones:
            self.words.append(WordSpan(text, len(self.phones), len(self.phones) + len(phones) - 1))
            self.phones.extend(phones)
            self.tones.extend(tones)

    def add_chinese(self, word: ChineseWord) -> None:
        phones: tuple[int, ...] = ()
        tones: tuple[int, ...] = ()
        for character, syllable in zip(word.text, word.syllables, strict=True):
            if syllable is None:
                self.unread.append(character)
                continue
            more_phones, more_tones = syllable_phones(syllable)
            phones, tones = phones + more_phones, tones + more_tones
        self.add_word(word.text, phones, tones)

    def add_mark(self, mark: str) -> None:
        phone = ELLIPSIS if mark == "…" else punctuation_phone(mark)
        if phone is None:
            self.unread.append(mark)
        elif is_speech(self.phones[-1]):  # one pause at a time
            self.phones.append(phone)
            self.tones.append(NO_TONE)

    def segment(self, text: str, language: Language) -> PhonemizedSegment:
        return PhonemizedSegment(
            text, tuple(self.phones), tuple(self.tones), language, tuple(self.words), tuple(self.unread)
        )
