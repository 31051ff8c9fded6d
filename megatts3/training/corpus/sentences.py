"""Sentences for the teachers to speak: small grammars over plain words, and word lists for rare sounds.

Everything here was written for this project.  Seeded: the same seed gives the same sentences.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources

import yaml

_Words = Mapping[str, Sequence[str]]


@cache
def _words(language: str) -> _Words:
    """Lists by kind, from words.yaml: phrases stand between bars, words between blanks."""
    text = resources.files(__package__).joinpath("words.yaml").read_text("utf-8")
    lists: Mapping[str, str] = yaml.safe_load(text)[language]
    return {
        kind: [phrase.strip() for phrase in line.split("|")] if "|" in line else line.split()
        for kind, line in lists.items()
    }


def english(rng: random.Random, rare_words: Sequence[str]) -> Iterator[str]:
    """Endless English sentences; `rare_words` (a pronunciation dictionary) widen what sounds meet."""
    words, pick = _words("english"), rng.choice

    def one(kind: str) -> str:
        return pick(words[kind])

    def noun() -> str:
        return f"{one('adjectives')} {one('nouns')}"

    def statement() -> str:
        subject = pick([f"the {noun()}", one("names"), f"my {one('nouns')}", f"their {noun()}"])
        return f"{subject} {one('verbs')} the {pick([noun(), one('nouns')])}"

    shapes: list[Callable[[], str]] = [
        lambda: f"{statement()} {one('places')}.",
        lambda: f"{one('times')}, {statement()}.",
        lambda: f"{one('openers')} that {statement()}, and {statement()}.",
        lambda: f"{one('questions')} the {noun()}?",
        lambda: f"{one('questions')} the {one('nouns')} {one('places')}?",
        lambda: f"{statement()}; {statement()}!",
        lambda: f"the {one('nouns')}, the {one('nouns')} and the {noun()}: {statement()}.",
        lambda: one("fixed"),
        lambda: f"{' '.join(one('numbers') for _ in range(rng.randint(3, 7)))}.",
        lambda: f"{', '.join(pick(rare_words) for _ in range(2))} {' '.join(rng.sample(rare_words, 4))}.",
        lambda: f"{pick(rare_words)} {statement()} {pick(rare_words)}!",
    ]
    while True:
        sentence = pick(shapes)()
        yield sentence[0].upper() + sentence[1:]


def chinese(rng: random.Random, rare_words: Sequence[str]) -> Iterator[str]:
    """Endless Mandarin sentences; `rare_words` (a phrase dictionary) bring the rare syllables."""
    words, pick = _words("chinese"), rng.choice

    def one(kind: str) -> str:
        return pick(words[kind])

    def clause() -> str:
        return pick([
            f"{one('subjects')}{one('verbs')}{one('objects')}",
            f"{one('times')}{one('subjects')}{one('places')}{one('verbs')}{one('objects')}",
            f"{one('subjects')}{one('places')}{one('verbs')}{one('objects')}",
            f"{one('objects')}是{one('subjects')}的",
        ])  # fmt: skip

    shapes: list[Callable[[], str]] = [
        lambda: f"{clause()}。",
        lambda: f"{clause()}，{clause()}。",
        lambda: f"{one('links')}{clause()}，{one('links')}{clause()}{one('tails')}。",
        lambda: f"{clause()}吗？",
        lambda: f"{clause()}{one('tails')}！",
        lambda: f"{one('objects')}、{one('objects')}和{one('objects')}。",
        lambda: f"{clause()}：{pick(rare_words)}；{clause()}。",
        lambda: one("fixed"),
        lambda: f"{''.join(one('digits') for _ in range(rng.randint(3, 8)))}。",
        lambda: f"{pick(rare_words)}，{pick(rare_words)}{pick(rare_words)}。",
        lambda: f"{''.join(rng.sample(rare_words, 3))}，{clause()}。",
        lambda: f"{pick(rare_words)}{clause()}？",
    ]
    while True:
        yield pick(shapes)()
