"""English words to phones: the dictionary, regular endings, and letter-to-sound for the rest.

The data is made by `scripts/build_lexicon.py`; its sources and licence are in `data/LICENSE.cmudict.txt`.
Which words a text has, and what is spelled out, is decided in `english.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from megatts3.text.phones import ENGLISH_PHONES, arpabet_phones
from megatts3.text.word_table import WordTable

_CODE_OFFSET = ENGLISH_PHONES.start - ord("0")  # phones are stored as printable ASCII, from `0` on
NOTHING = "-"  # a silent letter, in the letter-to-sound table
_CONTEXT = (0, 1, -1, 2, -2, 3, -3, 4, -4)  # letters looked at, the most telling first


def to_codes(phones: Sequence[int]) -> str:
    """English phone ids in the tables' spelling."""
    return "".join(chr(phone - _CODE_OFFSET) for phone in phones)


def from_codes(codes: str) -> tuple[int, ...]:
    return tuple(ord(code) + _CODE_OFFSET for code in codes)


def contexts(word: str, index: int, previous: str) -> list[str]:
    """Keys of one letter's surroundings, from the letter alone to the widest; `previous`: the last code."""
    around = "".join(word[index + step] if 0 <= index + step < len(word) else "#" for step in _CONTEXT)
    keys = [around[:width] for width in range(1, 4)]
    return keys + [around[:3] + previous + around[3:width] for width in range(3, len(around) + 1)]


class Lexicon:
    """The English words we know, and a guess at those we do not."""

    def __init__(self, words: WordTable, sounds: WordTable) -> None:
        self._words = words
        self._sounds = sounds

    @classmethod
    def load(cls) -> Lexicon:
        return cls(WordTable.load("lexicon.xz"), WordTable.load("letter_to_sound.xz"))

    def lookup(self, word: str) -> tuple[int, ...] | None:
        """Phones of a lower-case word in the dictionary, its possessive included; None if it is not there."""
        if (codes := self._words.get(word)) is not None:
            return from_codes(codes)
        stem = word.removesuffix("'s").removesuffix("'")
        if stem != word and (codes := self._words.get(stem)) is not None:
            return possessive(from_codes(codes)) if word.endswith("'s") else from_codes(codes)
        return None

    def guess(self, word: str) -> tuple[int, ...]:
        """Phones of a lower-case word by its letters."""
        if word.endswith("'s"):
            return possessive(self.guess(word.removesuffix("'s")))
        return from_codes(sound_out("".join(c for c in word if "a" <= c <= "z"), self._sounds))


def sound_out(word: str, table: WordTable) -> str:
    """Codes of a word of the letters a–z: each letter by the widest surroundings that the table knows."""
    said = ""
    previous = "#"
    for index in range(len(word)):
        found = next((v for key in reversed(contexts(word, index, previous)) if (v := table.get(key))), NOTHING)
        previous = found[-1]
        said += found.replace(NOTHING, "")
    return said


@lru_cache(maxsize=1)
def _endings() -> tuple[frozenset[int], frozenset[int], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    def ids(names: str) -> tuple[int, ...]:
        return arpabet_phones(names.split())[0]

    return frozenset(ids("s z sh zh ch jh")), frozenset(ids("p t k f th")), ids("ax z"), ids("s"), ids("z")


def possessive(phones: tuple[int, ...]) -> tuple[int, ...]:
    """The phones with the ending of a plural, a possessive or a third person."""
    sibilants, voiceless, after_sibilant, after_voiceless, after_voiced = _endings()
    if not phones:
        return phones
    if phones[-1] in sibilants:
        return phones + after_sibilant
    return phones + (after_voiceless if phones[-1] in voiceless else after_voiced)
