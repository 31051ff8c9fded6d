"""What every contender is asked to speak, and what it should come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from megatts3.pipeline.plan import Plan, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from megatts3.benchmark.subject import BenchVoice, Subject
    from megatts3.sampling.params import SamplingParams


@dataclass(frozen=True, eq=False)
class BenchRequest:
    """expected: the plan by the reference path, made before any clock runs; what is heard is held against it."""

    number: int
    text: str
    voice: BenchVoice
    params: SamplingParams
    expected: Plan

    @property
    def expected_s(self) -> float:
        """Seconds of its segments, not yet joined."""
        return sum(segment.duration_s for segment in self.expected.segments)


def requests(
    subject: Subject, texts: Iterable[str], voices: Sequence[BenchVoice], params: SamplingParams
) -> list[BenchRequest]:
    """Every text once, the voices by turns."""
    found = []
    for number, text in enumerate(texts):
        voice = voices[number % len(voices)]
        expected = plan(subject.networks, subject.frontend, text, voice.prompt, params)
        found.append(BenchRequest(number, text, voice, params, expected))
    return found
