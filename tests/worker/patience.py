"""Small things the worker's tests share: waiting for a condition, and a recording."""

import io
import time
from collections.abc import Callable

import numpy as np
import soundfile


def eventually(condition: Callable[[], object], within_s: float = 10.0) -> object:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.005)
    raise AssertionError("the condition did not come true in time")


def clip(pitch_hz: float = 220.0, seconds: float = 2.0) -> bytes:
    """Reference audio: a tone, as a WAV file."""
    t = np.arange(int(24_000 * seconds)) / 24_000
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.2 * np.sin(2 * np.pi * pitch_hz * t), 24_000, format="WAV")
    return buffer.getvalue()
