"""What is spoken in whose voice: held-out sentences, each with another utterance of its speaker as the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from megatts3.rates import SAMPLE_RATE
from megatts3.training.corpus import flite
from megatts3.training.data import Corpus, Entry

_PROMPT_S = 4.5  # a voice is known after a few seconds; longer prompts only cost
_PROMPT_MIN_S = 2.0


@dataclass(frozen=True)
class Counts:
    """Sentences of each kind.  What flite speaks a recogniser understands; espeak's speakers are the voices."""

    clear_english: int = 40
    other_english: int = 16
    chinese: int = 40

    @classmethod
    def quick(cls, sentences: int) -> Counts:
        """A smaller evaluation, for a look."""
        return cls(sentences, -(-sentences // 2), sentences)


@dataclass(frozen=True, eq=False)
class Case:
    """target: whose text is spoken; prompt: whose voice, of the same speaker and language."""

    target: Entry
    prompt: Entry

    @property
    def is_clear(self) -> bool:
        """English that pocketsphinx can be asked about: of espeak's it misses 97 % of the words."""
        return is_clear_speaker(self.target.speaker)


def is_clear_speaker(name: str) -> bool:
    """Whether a speaker's name, `heldout-slt-0`, is that of a flite voice."""
    return name.split("-")[1] in flite.VOICES


def choose_cases(corpus: Corpus, counts: Counts) -> list[Case]:
    """Always the same cases for the same corpus; every speaker has a turn before one has a second."""
    english = [e for e in corpus.entries if e.language == "en"]
    groups = (
        ([e for e in english if is_clear_speaker(e.speaker)], counts.clear_english),
        ([e for e in english if not is_clear_speaker(e.speaker)], counts.other_english),
        ([e for e in corpus.entries if e.language == "zh"], counts.chinese),
    )
    return [
        Case(target, prompt)
        for entries, count in groups
        for target in _in_turns(entries)[:count]
        if (prompt := _prompt(corpus, target)) is not None
    ]


def _in_turns(entries: Sequence[Entry]) -> list[Entry]:
    turns: dict[str, int] = {}
    ranked = []
    for entry in entries:
        turns[entry.speaker] = turns.get(entry.speaker, 0) + 1
        ranked.append((turns[entry.speaker], entry))
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]


def _prompt(corpus: Corpus, target: Entry) -> Entry | None:
    """Of a good length, in the target's language where the speaker has one, never the target itself."""
    others = [
        e
        for e in corpus.by_speaker[target.speaker]
        if e.id != target.id and e.text != target.text and e.samples >= _PROMPT_MIN_S * SAMPLE_RATE
    ]
    return min(
        others, key=lambda e: (e.language != target.language, abs(e.samples / SAMPLE_RATE - _PROMPT_S)), default=None
    )
