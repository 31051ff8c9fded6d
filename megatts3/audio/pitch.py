"""Fundamental frequency by the cumulative mean normalised difference (YIN, de Cheveigné & Kawahara 2002), in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

FRAME_S = 0.01  # one value each
_RATE = 8_000  # enough for the range, and quick
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 500.0
_WINDOW = 320  # samples that are compared with themselves: 40 ms
_DIP = 0.2  # a period is where the difference falls below this share of its mean …
_VOICED = 0.35  # … or, failing that, its least value, if it is below this
_QUIET = 0.03  # of the loudest frame's level: no voice below
_MIN_VOICED_FRAMES = 5

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Pitch:
    """hz: (N,) one a frame of 10 ms, 0 where there is no voice."""

    hz: FloatArray

    @property
    def voiced(self) -> FloatArray:
        """(V,) the frames that have a pitch."""
        return self.hz[self.hz > 0]

    @property
    def median_hz(self) -> float | None:
        """None where there is hardly any voice."""
        return float(np.median(self.voiced)) if len(self.voiced) >= _MIN_VOICED_FRAMES else None


def pitch(samples: NDArray[np.floating], sample_rate: int) -> Pitch:
    """Track of a clip. samples: (L,)"""
    x = soxr.resample(samples.astype(np.float64), sample_rate, _RATE)
    longest, shortest = int(_RATE / _LOWEST_HZ), int(_RATE / _HIGHEST_HZ)
    hop, span = round(_RATE * FRAME_S), _WINDOW + longest + 1
    if len(x) < span or not np.any(x):
        return Pitch(np.zeros(0))
    frames = np.lib.stride_tricks.sliding_window_view(x, span)[::hop]
    normalised = _normalised_difference(frames, longest + 1)
    level = np.sqrt(np.mean(frames**2, axis=1))
    loud = level > _QUIET * level.max()
    return Pitch(
        np.array([_period_to_hz(row, shortest) if heard else 0.0 for row, heard in zip(normalised, loud, strict=True)])
    )


def _normalised_difference(frames: FloatArray, lags: int) -> FloatArray:
    """(N, span) → (N, lags): the squared difference at each lag, against the mean over all shorter ones."""
    size = 1 << (frames.shape[1] + _WINDOW).bit_length()
    spectrum = np.fft.rfft(frames, size)
    head = np.fft.rfft(frames[:, :_WINDOW], size)
    products = np.fft.irfft(spectrum * head.conj(), size)[:, :lags]
    sums = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = sums[:, _WINDOW : _WINDOW + lags] - sums[:, :lags]
    difference = np.maximum(energy[:, :1] + energy - 2 * products, 0.0)
    means = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, lags)
    normalised = np.ones_like(difference)
    np.divide(difference[:, 1:], means, out=normalised[:, 1:], where=means > 0)
    return normalised


def _period_to_hz(normalised: FloatArray, shortest: int) -> float:
    """The first deep dip, refined by a parabola; 0 where there is none."""
    below = np.flatnonzero(normalised[shortest:-1] < _DIP)
    lag = shortest + int(below[0]) if len(below) else shortest + int(np.argmin(normalised[shortest:-1]))
    while lag + 1 < len(normalised) - 1 and normalised[lag + 1] < normalised[lag]:
        lag += 1
    if normalised[lag] > _VOICED:
        return 0.0
    left, here, right = normalised[lag - 1 : lag + 2]
    bend = left - 2 * here + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    return float(_RATE / (lag + np.clip(shift, -0.5, 0.5)))
