"""English words to phones: what is a word, what is spelled out, what is put together from parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from megatts3.text.lexicon import Lexicon, possessive
from megatts3.text.phones import arpabet_phones

Phones = tuple[int, ...]

_LETTERS = {
    "a": "ey", "b": "b iy", "c": "s iy", "d": "d iy", "e": "iy", "f": "eh f", "g": "jh iy", "h": "ey ch",
    "i": "ay", "j": "jh ey", "k": "k ey", "l": "eh l", "m": "eh m", "n": "eh n", "o": "ow", "p": "p iy",
    "q": "k y uw", "r": "aa r", "s": "eh s", "t": "t iy", "u": "y uw", "v": "v iy", "w": "d ah b ax l y uw",
    "x": "eh k s", "y": "w ay", "z": "z iy",
}  # fmt: skip
# In capitals these are initials, though the dictionary has a word of the same letters.
_INITIALS = frozenset(
    "ai am api cd db dj eu hr id io ip ir ml os pa pc pm pr ps sos tts ui us vp vr".split()  # noqa: SIM905  a list
)
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # camel case: Mega·TTS, i·Phone, HTTP·Server
_MAX_INITIALS = 5  # longer words in capitals are read, if they can be: NVIDIA
_MIN_PART = 3
# Two readings of one spelling: after these words the second one.  Elsewhere the dictionary's.
_SECOND_READINGS = {
    "read": (
        "r eh d",
        frozenset(("have", "has", "had", "was", "were", "be", "been", "is", "are", "i've", "he'd")),
    ),
    "use": (
        "y uw z",
        frozenset(("to", "i", "we", "you", "they", "can", "will", "must", "should", "could", "would")),
    ),
}
_AFTER_LETTER = frozenset(("and", "at", "dot", "for", "in", "is", "minus", "or", "plus", "to"))  # A is for apple
_CONTRACTIONS = {"'ll": "ax l", "'d": "d", "'ve": "v", "'re": "er", "'m": "ax m", "n't": "ax n t"}


@cache
def _ids(names: str) -> Phones:
    return arpabet_phones(names.split())[0]


def _is_vowel(phone: int) -> bool:
    return phone in _ids("aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw")


class EnglishSpeller:
    """Phones of English words, by the dictionary first."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def phones_of(self, words: Sequence[str], *, first: bool = True) -> tuple[Phones, ...]:
        """Phones of each word of a phrase; `first` tells whether it begins a sentence.

        The phrase decides three things: `A` is the article only where a sentence may begin with it, `the`
        is said with `iy` before a vowel, and capitals that all words have are no initials.
        """
        shouted = sum(len(word) for word in words) > 8 and len(words) > 1 and all(w.isupper() for w in words)
        said: list[Phones] = []
        for i, word in enumerate(words):
            article = word == "A" and first and i == 0 and len(words) > 1 and words[1] not in _AFTER_LETTER
            said.append(self.word(word.lower() if shouted or article else word))
        for i in range(len(said) - 1):
            if words[i].lower() == "the" and said[i + 1] and _is_vowel(said[i + 1][0]):
                said[i] = _ids("dh iy")
            second = _SECOND_READINGS.get(words[i + 1].lower())
            if second and words[i].lower() in second[1]:
                said[i + 1] = _ids(second[0])
        return tuple(said)

    def word(self, word: str) -> Phones:
        """Phones of one word as it is written; empty if it has no letter."""
        lower = word.lower()
        capitals = word.removesuffix("s").removesuffix("'")
        if capitals.isupper() and len(capitals) > 1:
            return self._capitals(capitals, word)
        if len(word) == 1:
            return _ids("ax") if word == "a" else _ids(_LETTERS[lower]) if lower in _LETTERS else ()
        known = self._known(lower)
        holds_initials = any(run.lower() in _INITIALS for run in re.findall(r"[A-Z]{2,}", word))  # iOS
        if known is not None and not holds_initials:
            return known
        if lower.endswith("'s"):
            return possessive(self.word(word[:-2]))
        parts = _PARTS.findall(word)
        if len(parts) > 1:
            return tuple(phone for part in parts for phone in self._part(part))
        return self._unknown(lower)

    def _part(self, part: str) -> Phones:
        return self.spelled(part) if len(part) == 1 else self.word(part)

    def _capitals(self, capitals: str, word: str) -> Phones:
        """Initials, plural or possessive initials, or a word that happens to stand in capitals."""
        lower = capitals.lower()
        known = None if lower in _INITIALS else self._known(lower)
        if known is None and (len(lower) <= _MAX_INITIALS or not _pronounceable(lower)):
            known = self.spelled(lower)
        phones = known if known is not None else self._unknown(lower)
        return phones if word == capitals else possessive(phones)

    def spelled(self, letters: str) -> Phones:
        return tuple(phone for letter in letters.lower() if letter in _LETTERS for phone in _ids(_LETTERS[letter]))

    def _known(self, word: str) -> Phones | None:
        return self._lexicon.lookup(word) or self._derived(word)

    def _derived(self, word: str) -> Phones | None:
        """A contraction or a regular form of a word in the dictionary."""
        for ending, names in _CONTRACTIONS.items():
            if word.endswith(ending) and (stem := self._lexicon.lookup(word.removesuffix(ending))):
                return (*stem, *_ids(names))
        if word.endswith("s") and (stem := self._lexicon.lookup(word[:-1])):
            return possessive(stem)
        for ending, names in (("ing", "ih ng"), ("er", "er"), ("ed", ""), ("ly", "l iy"), ("ness", "n ax s")):
            if word.endswith(ending) and (stem := self._stem(word.removesuffix(ending))):
                return (*stem, *(_past(stem) if ending == "ed" else _ids(names)))
        return None

    def _stem(self, stem: str) -> Phones | None:
        """The dictionary's stem of an inflected form: walk, lik(e), run(n)."""
        if len(stem) < _MIN_PART:
            return None
        undoubled = stem[:-1] if stem[-1] == stem[-2] else stem + "e"
        return self._lexicon.lookup(stem) or self._lexicon.lookup(undoubled)

    def _unknown(self, word: str) -> Phones:
        letters = word.replace("'", "")
        if not _pronounceable(letters):
            return self.spelled(letters)
        for cut in range(len(letters) - _MIN_PART, _MIN_PART, -1):  # two words written as one, longest first
            head, tail = self._lexicon.lookup(letters[:cut]), self._lexicon.lookup(letters[cut:])
            if head and tail and cut > _MIN_PART and len(letters) - cut > _MIN_PART:
                return head + tail
        return self._lexicon.guess(word)


def _pronounceable(word: str) -> bool:
    return any(letter in "aeiouy" for letter in word)


def _past(stem: Phones) -> Phones:
    if stem[-1] in _ids("t d"):
        return _ids("ax d")
    return _ids("t") if stem[-1] in _ids("p k f th s sh ch") else _ids("d")
