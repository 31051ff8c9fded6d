"""Change of sample rate.  The filter is soxr's "HQ", as in the published pipeline."""

from __future__ import annotations

import numpy as np
import soxr

from megatts3.audio.waveform import Waveform


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """⌈samples · to / from⌉ (SPEC 4.1: the padded prompt keeps its last frame only with this rule)."""
    return -(-samples * to_rate // from_rate)


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """The same sound at another rate; its length follows `resampled_length`."""
    if sample_rate == waveform.sample_rate:
        return waveform
    length = resampled_length(len(waveform.samples), waveform.sample_rate, sample_rate)
    if len(waveform.samples) == 0:
        return Waveform(waveform.samples, sample_rate)
    converted = soxr.resample(np.ascontiguousarray(waveform.samples), waveform.sample_rate, sample_rate, quality="HQ")
    fitted = np.zeros(length, dtype=waveform.samples.dtype)  # soxr alone returns the nearest integer
    kept = min(length, len(converted))
    fitted[:kept] = converted[:kept]
    return Waveform(fitted, sample_rate)
