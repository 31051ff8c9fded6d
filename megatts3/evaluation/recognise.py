"""English speech → words by pocketsphinx, which brings its own model; nothing is fetched."""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray
from pocketsphinx import Decoder

_RATE = 16_000
_PEAK = 0.9
_WORD = re.compile(r"[a-z']+")


def spoken_words(text: str) -> list[str]:
    """What a recogniser should write for a text whose numbers are spelled out."""
    return _WORD.findall(text.lower())


class Recogniser(Protocol):
    """Whatever writes down what is said."""

    def words(self, samples: NDArray[np.floating], sample_rate: int, /) -> list[str]:
        """samples: (L,) → lower-case words."""
        ...


class PocketSphinx:
    """One decoder, used clip after clip."""

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=_RATE, loglevel="FATAL")

    def words(self, samples: NDArray[np.floating], sample_rate: int) -> list[str]:
        """samples: (L,) → lower-case words. Level does not count."""
        x = soxr.resample(np.nan_to_num(samples.astype(np.float64)), sample_rate, _RATE)
        peak = float(np.max(np.abs(x), initial=0.0))
        if peak == 0.0:
            return []
        decoder = self._decoder
        decoder.start_utt()
        decoder.process_raw((x * (_PEAK / peak) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        return [] if best is None else spoken_words(best.hypstr)
