"""Durations → when each segment and each word of the text is heard.

Segments' times are exact.  Words share the time between two pauses by their length, since the front
end does not say which phones a word became; the time of a pause is no word's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from megatts3.audio.join import OVERLAP_S
from megatts3.rates import FRAME_RATE
from megatts3.text.phones import PUNCTUATION, SILENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from megatts3.pipeline.plan import Plan, PlannedSegment

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+(?:['’.-][^\W_]+)*")
_MARK = re.compile(r"[^\w\s'’-]+")


@dataclass(frozen=True)
class TimedWord:
    """A word, or one Chinese character."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class TimedSegment:
    """A segment's place in the joined sound; neighbours overlap by the cross-fade."""

    index: int
    text: str
    start_s: float
    end_s: float
    words: tuple[TimedWord, ...]


def timings(plan: Plan) -> tuple[TimedSegment, ...]:
    """Times of all segments and words of a plan, from the start of the joined waveform."""
    found, start_s = [], 0.0
    for segment in plan.segments:
        end_s = start_s + segment.duration_s
        words = tuple(_words(segment, start_s))
        found.append(TimedSegment(segment.index, segment.text, start_s, end_s, words))
        start_s = end_s - OVERLAP_S
    return tuple(found)


def _words(segment: PlannedSegment, start_s: float) -> list[TimedWord]:
    frame_s = 1.0 / FRAME_RATE
    clauses = [_WORD.findall(clause) for clause in _MARK.split(segment.text)]
    clauses = [words for words in clauses if words]
    spans = _speech_spans(segment.phones, segment.durations)
    if not clauses or not spans:
        return []
    if len(clauses) != len(spans):  # the front end dropped or added a pause: share the whole
        clauses, spans = [[word for words in clauses for word in words]], [(spans[0][0], spans[-1][1])]
    found = []
    for words, (first, end) in zip(clauses, spans, strict=True):
        weights = [len(word) for word in words]
        edges = [first + (end - first) * sum(weights[:i]) / sum(weights) for i in range(len(words) + 1)]
        for word, (left, right) in zip(words, pairwise(edges), strict=True):
            found.append(TimedWord(word, start_s + left * frame_s, start_s + right * frame_s))
    return found


def _speech_spans(phones: Sequence[int], durations: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of phones between pauses, as [first, end) in frames."""
    spans: list[tuple[int, int]] = []
    position, first = 0, None
    for phone, duration in zip(phones, durations, strict=True):
        is_pause = phone == SILENCE or phone in PUNCTUATION
        if is_pause and first is not None:
            spans.append((first, position))
            first = None
        elif not is_pause and first is None:
            first = position
        position += duration
    if first is not None:
        spans.append((first, position))
    return spans
