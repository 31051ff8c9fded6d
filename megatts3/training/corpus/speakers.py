"""Who speaks: teacher voices, shifted in pitch and formants, so that only the prompt can tell the voice."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from megatts3.training.corpus import flite

Split = Literal["train", "heldout"]

# fmt: off
_TRAIN_VARIANTS = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f4", "Alex", "Alicia", "Andrea", "Annie", "adam",
    "anika", "antonio", "aunty", "benjamin", "boris", "caleb", "david", "Denis", "Diogo", "ed", "edward", "Gene",
    "Henrique", "Hugo", "iven", "Jacky", "john", "Lee", "marcelo", "Marco", "Mario", "Max", "Michael",
)
_HELDOUT_VARIANTS = (
    "m7", "f5", "Andy", "belinda", "linda", "miguel", "paul", "rob", "steph", "victor", "travis", "pedro",
)
# fmt: on
_PITCH = (25, 75)  # espeak's own scale, 0–100
_ESPEAK_RATIO = (0.9, 1.12)
_FLITE_RATIO = (0.82, 1.24)


@dataclass(frozen=True)
class Speaker:
    """One voice of the corpus.  `ratio` raises pitch and formants together."""

    name: str
    engine: Literal["flite", "espeak"]
    voice: str
    ratio: float
    pitch: int
    split: Split

    @property
    def languages(self) -> tuple[str, ...]:
        return ("en",) if self.engine == "flite" else ("zh", "en")


def speakers(split: Split, *, flite_count: int, espeak_count: int) -> list[Speaker]:
    """The same list for the same numbers; held-out variants and ratios occur in no training speaker."""
    rng = random.Random(f"speakers-{split}")
    variants = _TRAIN_VARIANTS if split == "train" else _HELDOUT_VARIANTS
    offset = 0.0 if split == "train" else 0.5
    made = []
    for index in range(flite_count):
        low, high = _FLITE_RATIO
        steps = max(1, -(-flite_count // len(flite.VOICES)))
        position = (index // len(flite.VOICES) + offset) / steps
        voice = flite.VOICES[index % len(flite.VOICES)]
        ratio = round(low + (high - low) * position, 3)
        made.append(Speaker(f"{split}-{voice}-{index}", "flite", voice, ratio, 50, split))
    for index in range(espeak_count):
        variant = variants[index % len(variants)]
        ratio, pitch = round(rng.uniform(*_ESPEAK_RATIO), 3), rng.randint(*_PITCH)
        made.append(Speaker(f"{split}-{variant}-{index}", "espeak", variant, ratio, pitch, split))
    return made
