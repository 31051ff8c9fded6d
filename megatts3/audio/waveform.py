"""The only audio type that is handed about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE_TYPES = (np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Waveform:
    """Mono audio.

    samples: (L,) float32, full scale is 1.0; float64 between the loudness match and the
        16-bit conversion (SPEC 8.3 asks for it).  Read-only: a waveform may be shared.
    sample_rate: samples per second
    """

    samples: NDArray[np.floating]
    sample_rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype not in _SAMPLE_TYPES:
            raise TypeError(f"samples must be (L,) float, not {self.samples.shape} {self.samples.dtype}")
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate must be positive, not {self.sample_rate}")
        view = self.samples.view()
        view.setflags(write=False)
        object.__setattr__(self, "samples", view)

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def peak(self) -> float:
        """Largest magnitude; 0.0 for no samples."""
        return float(np.max(np.abs(self.samples), initial=0.0))

    def pcm16(self) -> NDArray[np.int16]:
        """(L,) int16: times 32767, truncated toward zero (SPEC 8.4), clipped rather than wrapped."""
        return np.clip(self.samples.astype(np.float64) * 32767.0, -32768.0, 32767.0).astype(np.int16)
