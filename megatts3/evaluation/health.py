"""What no listener forgives: numbers that are no sound, clipping, silence where speech was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 0.999
_BLOCK_S = 0.02
_SILENT = 10 ** (-50 / 20)  # level of a block that nobody hears
_HEARD_SHARE_MIN = 0.3  # of the blocks of a clip; pauses take less than the rest


@dataclass(frozen=True)
class Health:
    """not_finite, clipped: samples; silent: hardly anything is heard."""

    not_finite: int
    clipped: int
    silent: bool

    @property
    def is_sound(self) -> bool:
        return not (self.not_finite or self.clipped or self.silent)


def health(samples: NDArray[np.floating], sample_rate: int) -> Health:
    """samples: (L,), full scale 1.0"""
    finite = np.isfinite(samples)
    known = np.where(finite, samples, 0.0).astype(np.float64)
    block = round(_BLOCK_S * sample_rate)
    whole = known[: len(known) // block * block].reshape(-1, block)
    heard = np.sqrt(np.mean(whole**2, axis=1)) > _SILENT
    silent = len(heard) == 0 or float(np.mean(heard)) < _HEARD_SHARE_MIN
    return Health(int(np.sum(~finite)), int(np.sum(np.abs(known) >= _FULL_SCALE)), silent)
