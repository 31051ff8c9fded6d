"""One finished segment as a blob: FLAC of 24 bits, which a person can listen to.

The waveform lies within full scale (SPEC 8.3 limits it), so that 24 bits lose less than 1e-7 of it.
"""

import io

import numpy as np
import soundfile

from megatts3.audio.waveform import Waveform


def to_blob(waveform: Waveform) -> bytes:
    """ValueError for what is not sound: nothing, or values that are no numbers."""
    if len(waveform.samples) == 0 or not np.isfinite(waveform.samples).all():
        raise ValueError("the engine gave audio that cannot be used")
    buffer = io.BytesIO()
    samples = np.clip(waveform.samples, -1.0, 1.0)
    soundfile.write(buffer, samples, waveform.sample_rate, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def from_blob(data: bytes) -> Waveform:
    samples, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return Waveform(samples, sample_rate)
