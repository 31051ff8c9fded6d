"""espeak-ng as a teacher, through its C library: Mandarin from pinyin, English, many voice variants.

The library reports each word and phone with the sample it starts at.  A pinyin syllable is a word of its own, so
the border of initial and final is the start of its second phone.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from megatts3.text import phones
from megatts3.training.corpus.speech import Spoken, TimedPhone, Unusable, pause_phones

_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 1 | 2
_UTF8 = 1
_RATE_PARAMETER, _PITCH_PARAMETER = 1, 3
_WORD, _CLAUSE_END, _PHONE = 1, 5, 7
_MARKS = re.compile(r"[,.;:!?、，。；：！？]")

# espeak's en-us phones in IPA → ARPAbet; a pair shares the time evenly.
_ENGLISH = {
    "h": "hh", "ə": "ax", "l": "l", "oʊ": "ow", "w": "w", "ɜː": "er", "d": "d", "ð": "dh", "ɪ": "ih", "s": "s",
    "z": "z", "ɐ": "ax", "n": "n", "aɪ": "ay", "b": "b", "aʊ": "aw", "ɑːɹ": "aa r", "ɑː": "aa", "j": "y",
    "uː": "uw", "ɛ": "eh", "æ": "ae", "ʌ": "ah", "ɔ": "ao", "ɔː": "ao", "ɔːɹ": "ao r", "oːɹ": "ao r", "ɛɹ": "eh r",
    "ɪɹ": "ih r", "ʊɹ": "uh r", "aɪɚ": "ay er", "ɚ": "er", "iː": "iy", "i": "iy", "eɪ": "ey", "ɔɪ": "oy", "ʊ": "uh",
    "t": "t", "ɾ": "t", "p": "p", "k": "k", "ɡ": "g", "f": "f", "v": "v", "θ": "th", "ʃ": "sh", "ʒ": "zh",
    "tʃ": "ch", "dʒ": "jh", "m": "m", "ŋ": "ng", "ɹ": "r", "əl": "ax l", "n̩": "ax n", "ᵻ": "ih", "iə": "iy ax",
    "aɪə": "ay ax",
}  # fmt: skip


class _Identifier(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identifier),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class _Mark:
    """An event: a word start, a phone (empty name: silence or tone), or the end of a clause."""

    kind: int
    sample: int
    name: str


class _Library:
    """The C library with its global state: one voice, one utterance at a time."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self.sample_rate = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_IN_IPA))
        if self.sample_rate <= 0:
            raise OSError("espeak-ng found no data; is the Debian package espeak-ng-data installed?")
        self._audio: list[bytes] = []
        self._marks: list[_Mark] = []
        self._callback = _Callback(self._collect)  # kept: the library holds only a pointer
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if samples and count > 0:
            self._audio.append(ctypes.string_at(samples, 2 * count))
        position = 0
        while events[position].type != 0:
            event = events[position]
            name = bytes(event.id.string).decode("utf-8", "ignore") if event.type == _PHONE else ""
            self._marks.append(_Mark(event.type, event.sample, name))
            position += 1
        return 0

    def speak(self, text: str, voice: str, pitch: int, words_per_minute: int) -> tuple[bytes, list[_Mark]]:
        self._audio, self._marks = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise OSError(f"espeak-ng has no voice {voice}")
        self._library.espeak_SetParameter(_PITCH_PARAMETER, pitch, 0)
        self._library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        return b"".join(self._audio), self._marks


@cache
def _library() -> _Library:
    return _Library()


def speak_english(text: str, *, variant: str, pitch: int, words_per_minute: int) -> Spoken:
    """Raises Unusable when a phone has no ARPAbet counterpart or pauses do not match the marks."""
    audio, marks = _library().speak(text, f"en-us+{variant}", pitch, words_per_minute)
    timed = [_start(marks)]
    for phone_marks, end, pause, pause_end in _clauses(marks, _MARKS.findall(text), len(audio) // 2):
        starts = [m.sample for m in phone_marks] + [end]
        for mark, start, stop in zip(phone_marks, starts, starts[1:], strict=False):
            if mark.name not in _ENGLISH:
                raise Unusable(f"espeak phone {mark.name!r}")
            names = _ENGLISH[mark.name].split()
            for index, name in enumerate(names, 1):
                share = start + (stop - start) * index / len(names)
                timed.append((phones.arpabet_phone(name), phones.NO_TONE, share))
        timed.append((pause, phones.NO_TONE, pause_end))
    return _spoken(audio, timed)


def speak_pinyin(
    clauses: Sequence[tuple[Sequence[str], str]], *, variant: str, pitch: int, words_per_minute: int
) -> Spoken:
    """clauses: (pinyin syllables with tone digits, punctuation mark) each."""
    ascii_marks = str.maketrans("，。！？；：、", ",.!?;:,")
    text = " ".join(" ".join(syllables) + mark.translate(ascii_marks) for syllables, mark in clauses)
    audio, marks = _library().speak(text, f"cmn-latn-pinyin+{variant}", pitch, words_per_minute)
    timed = [_start(marks)]
    spoken = list(_clauses(marks, [mark for _, mark in clauses], len(audio) // 2))
    if len(spoken) != len(clauses):
        raise Unusable("clauses do not match")
    for (syllables, _), (phone_marks, end, pause, pause_end) in zip(clauses, spoken, strict=True):
        words = _words(marks, phone_marks)
        if len(words) != len(syllables):
            raise Unusable("syllables do not match")
        stops = [word[0].sample for word in words[1:]] + [end]
        for syllable, word, stop in zip(syllables, words, stops, strict=True):
            ids, tones = phones.syllable_phones(syllable)
            if len(ids) == 2 and len(word) < 2:
                raise Unusable(f"{syllable} has no border of initial and final")
            borders = [word[1].sample, stop] if len(ids) == 2 else [stop]
            timed += list(zip(ids, tones, borders, strict=True))
        timed.append((pause, phones.NO_TONE, pause_end))
    return _spoken(audio, timed)


def _start(marks: Sequence[_Mark]) -> tuple[int, int, float]:
    first = next((m.sample for m in marks if m.kind == _PHONE), 0)
    return phones.SILENCE, phones.NO_TONE, float(first)


def _clauses(
    marks: Sequence[_Mark], punctuation: Sequence[str], total: int
) -> Iterator[tuple[list[_Mark], float, int, float]]:
    """Per clause: its phone marks, where its speech ends, the pause's phone, and where the pause ends (samples)."""
    pauses = pause_phones(punctuation)
    clauses: list[list[_Mark]] = [[]]
    for mark in marks:
        if mark.kind == _PHONE:
            clauses[-1].append(mark)
        elif mark.kind == _CLAUSE_END:
            clauses.append([])
    clauses = [clause for clause in clauses if any(mark.name for mark in clause)]
    if len(clauses) != len(pauses):
        raise Unusable("a clause without a mark")
    for index, (clause, pause) in enumerate(zip(clauses, pauses, strict=True)):
        last = max(i for i, mark in enumerate(clause) if mark.name)
        if last + 1 == len(clause):
            raise Unusable("a clause without an end")
        following = clauses[index + 1][0].sample if index + 1 < len(clauses) else total
        yield [mark for mark in clause if mark.name], clause[last + 1].sample, pause, following


def _words(marks: Sequence[_Mark], phone_marks: Sequence[_Mark]) -> list[list[_Mark]]:
    """The phones of a clause, grouped by the words they stand in."""
    wanted = {id(mark) for mark in phone_marks}
    words: list[list[_Mark]] = []
    for mark in marks:
        if mark.kind == _WORD:
            words.append([])
        elif id(mark) in wanted and words:
            words[-1].append(mark)
    return [word for word in words if word]


def _spoken(audio: bytes, timed: Sequence[tuple[int, int, float]]) -> Spoken:
    rate = _library().sample_rate
    samples = np.frombuffer(audio, np.int16).astype(np.float32) / np.float32(32768)
    return Spoken(samples, rate, tuple(TimedPhone(p, t, end / rate) for p, t, end in timed))
