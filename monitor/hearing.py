"""Does a WAV file sound like speech?  A few plain figures and their bounds; no network, no numpy.

They do not tell good speech from mediocre.  They tell speech from what a broken model or a broken chain gives:
silence, a hum, white noise, clipping, a sentence that is much too short or far too long.
"""

from __future__ import annotations

import array
import io
import itertools
import math
import sys
import wave
from dataclasses import dataclass

FULL_SCALE = 32_768.0
FRAME_S = 0.02
FLOOR_DB = -100.0


@dataclass(frozen=True)
class Bound:
    """A figure outside means `complaint`."""

    low: float
    high: float
    complaint: str


# Measured on mini and on recordings of people; white noise has 0.5 crossings and 0 dB of movement, a hum 0 dB.
BOUNDS = {
    "seconds_per_character": Bound(0.025, 0.6, "length"),
    "level_db": Bound(-55.0, -3.0, "level"),
    "clipped_ratio": Bound(0.0, 0.01, "clipping"),
    "movement_db": Bound(8.0, math.inf, "monotony"),
    "crossings_ratio": Bound(0.003, 0.35, "noise"),
}


def measure(data: bytes, *, characters: int) -> dict[str, float]:
    """Figures of a WAV of 16 bits, mono.  Raises ValueError when it is none.

    level_db: of all samples, to full scale;  movement_db: the louder frames (90th percentile) over the quieter
    (10th);  crossings_ratio: sign changes a sample in the louder half of the frames
    """
    samples, rate = _samples(data)
    if not samples or not characters:
        raise ValueError("no samples")
    frame = max(1, int(rate * FRAME_S))
    frames = [samples[start : start + frame] for start in range(0, len(samples) - frame + 1, frame)] or [samples]
    levels = sorted((_level_db(part), index) for index, part in enumerate(frames))
    louder = [frames[index] for _, index in levels[len(levels) // 2 :]]
    low, high = levels[len(levels) // 10][0], levels[(9 * len(levels)) // 10][0]
    changes = sum(sum((a < 0) != (b < 0) for a, b in itertools.pairwise(part)) for part in louder)
    clipped = sum(abs(sample) >= FULL_SCALE - 1 for sample in samples)
    return {
        "seconds": len(samples) / rate,
        "seconds_per_character": len(samples) / rate / characters,
        "level_db": _level_db(samples),
        "clipped_ratio": clipped / len(samples),
        "movement_db": high - low,
        "crossings_ratio": changes / sum(len(part) for part in louder),
    }


def complaints(figures: dict[str, float]) -> tuple[str, ...]:
    """What is wrong with them, in a word each; empty when it sounds like speech."""
    return tuple(b.complaint for name, b in BOUNDS.items() if not b.low <= figures[name] <= b.high)


def _samples(data: bytes) -> tuple[array.array[int], int]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            if file.getsampwidth() != 2 or file.getnchannels() != 1:
                raise ValueError("not 16 bits, mono")
            samples, rate = array.array("h", file.readframes(file.getnframes())), file.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(str(error)) from error
    if sys.byteorder == "big":
        samples.byteswap()
    return samples, rate


def _level_db(samples: array.array[int]) -> float:
    power = sum(sample * sample for sample in samples) / len(samples)
    return 10 * math.log10(power / FULL_SCALE**2) if power else FLOOR_DB
