"""BS.1770 integrated loudness: measure and match.  Silence and very short clips are guarded."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm

from megatts3.audio.waveform import Waveform

BLOCK_S = 0.4  # gating block of BS.1770-4
PEAK_AFTER_LIMIT = 0.95  # SPEC 8.3 step 4


def measure(waveform: Waveform) -> float | None:
    """Integrated loudness in LUFS, or None where nothing passes the gate (silence).

    A clip shorter than one block is measured as if it repeated; the standard leaves it undefined.
    """
    samples = waveform.samples.astype(np.float64)
    if waveform.peak == 0.0:  # also: no samples
        return None
    block = math.ceil(BLOCK_S * waveform.sample_rate)
    if len(samples) < block:
        samples = np.resize(samples, block)
    loudness = float(pyloudnorm.Meter(waveform.sample_rate).integrated_loudness(samples))
    return loudness if math.isfinite(loudness) else None


def match(waveform: Waveform, target_lufs: float) -> Waveform:
    """Bring the loudness to `target_lufs`; a peak of 1 or more is then scaled to 0.95 (SPEC 8.3).

    The result is float64.  Silence is returned as it is.
    """
    samples = waveform.samples.astype(np.float64)
    loudness = measure(waveform)
    if loudness is not None:
        samples = samples * 10.0 ** ((target_lufs - loudness) / 20.0)
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak >= 1.0:
        samples = samples * (PEAK_AFTER_LIMIT / peak)
    return Waveform(samples, waveform.sample_rate)
