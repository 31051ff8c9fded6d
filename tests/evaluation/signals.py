"""Sounds whose pitch, colour and faults are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 24_000


def voice(hz: float, seconds: float = 1.0, *, tilt: float = 1.0, seed: int = 0) -> NDArray[np.float64]:
    """A buzz with harmonics that fall by 1 / n ** tilt, its pitch moving by 3 %, with a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * hz * (time + 0.03 * np.sin(2 * np.pi * 2 * time) / (2 * np.pi * 2))
    harmonics = range(1, min(40, int(0.45 * RATE / hz)))
    sound = sum(np.sin(n * phase + rng.uniform(0, 6)) / n**tilt for n in harmonics)
    sound = sound / np.max(np.abs(sound)) * 0.5
    return sound + rng.normal(0, 1e-3, len(sound))


def tone(hz: float, seconds: float = 0.5) -> NDArray[np.float64]:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
