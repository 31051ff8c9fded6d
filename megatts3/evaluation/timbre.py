"""Whose voice is it?  A small embedding of long-term spectrum and pitch, and the nearest of several known voices.

No network: the mean and spread of a log-mel spectrum over speech, the median and spread of F0, put on axes in which
speakers lie far apart and utterances of one speaker near together (linear discriminant analysis over the training
split of the corpus).  Its own accuracy on held-out teachers' clips stands in the report beside what it judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from megatts3.audio.pitch import pitch

FloatArray = NDArray[np.float64]

_RATE = 16_000
_WINDOW, _HOP = 512, 160
_MELS = 32
_LOWEST_HZ, _HIGHEST_HZ = 80.0, 7_600.0
_CEPSTRA = 20
_SPEECH_DB = 35.0  # below the loudest frame: no longer speech
_SHRINK = 0.2  # of the scatter within speakers, towards its diagonal
_AXES = 24


def features(samples: NDArray[np.floating], sample_rate: int) -> FloatArray:
    """(F,) of a clip (L,): cepstra's mean and spread over speech, F0's middle and spread. Level does not count."""
    x = soxr.resample(samples.astype(np.float64), sample_rate, _RATE)
    x = np.pad(x, (0, max(0, _WINDOW - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(x, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)) ** 2
    level = 10 * np.log10(power.sum(1) + 1e-9)
    mel = np.log(power[level > level.max() - _SPEECH_DB] @ _mel_filters().T + 1e-7)
    cepstra = mel @ _cosines().T
    found = pitch(samples, sample_rate)
    logs = np.log(found.voiced) if found.median_hz else np.log([150.0])
    low, middle, high = np.percentile(logs, [20, 50, 80])
    return np.concatenate([cepstra.mean(0), cepstra.std(0), [middle, high - low]])


@dataclass(frozen=True)
class Space:
    """features → embedding. mean: (F,); axes: (F, E); within speakers every direction has deviation 1."""

    mean: FloatArray
    axes: FloatArray

    def embed(self, found: FloatArray) -> FloatArray:
        """(F,) → (E,)"""
        embedded: FloatArray = (found - self.mean) @ self.axes
        return embedded


def fit(by_speaker: Mapping[str, Sequence[FloatArray]]) -> Space:
    """Learn the axes from several clips each of several speakers."""
    groups = [np.stack(list(clips)) for clips in by_speaker.values() if len(clips) > 1]
    if len(groups) < 2:
        raise ValueError("two speakers with two clips each are the least that voices can be told apart by")
    within = np.mean([np.cov(group.T) for group in groups], axis=0)
    within = (1 - _SHRINK) * within + _SHRINK * np.diag(np.diag(within)) + 1e-9 * np.eye(len(within))
    means = np.stack([group.mean(0) for group in groups])
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values)
    centre = means.mean(0)
    _, _, directions = np.linalg.svd((means - centre) @ whiten, full_matrices=False)
    return Space(centre, whiten @ directions[:_AXES].T)


def nearest(embedding: FloatArray, voices: Mapping[str, FloatArray]) -> str:
    """The name of the known voice that is least far away."""
    return min(voices, key=lambda name: float(np.sum((voices[name] - embedding) ** 2)))


def _mel_filters() -> FloatArray:
    """(M, bins) triangles, evenly spaced in mel."""

    def to_mel(hz: FloatArray) -> FloatArray:
        mel: FloatArray = 2595.0 * np.log10(1.0 + hz / 700.0)
        return mel

    low, high = to_mel(np.array([_LOWEST_HZ, _HIGHEST_HZ]))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, _MELS + 2) / 2595.0) - 1.0)
    bins = np.linspace(0.0, _RATE / 2, _WINDOW // 2 + 1)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters: FloatArray = np.clip(np.minimum(rise, fall), 0.0, None)
    return filters


def _cosines() -> FloatArray:
    """(_CEPSTRA, M) the cosine transform without its constant row, so that gain does not count."""
    orders, bands = np.arange(1, _CEPSTRA + 1)[:, None], np.arange(_MELS) + 0.5
    table: FloatArray = np.cos(np.pi * orders * bands / _MELS) * np.sqrt(2.0 / _MELS)
    return table
