"""Spectrograms of the same sentence, one above the other, for the eye to compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from megatts3.audio.pitch import FRAME_S, pitch
from megatts3.audio.waveform import Waveform

_WINDOW, _HOP = 1024, 240
_RANGE_DB = 70.0
_TOP_HZ = 8_000.0


def draw_spectrograms(path: Path, title: str, waveforms: Mapping[str, Waveform]) -> None:
    """Write a PNG; one panel a waveform, with its pitch drawn in."""
    figure = Figure(figsize=(9, 2.1 * len(waveforms)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    longest = max(waveform.duration_s for waveform in waveforms.values())
    for position, (name, waveform) in enumerate(waveforms.items(), start=1):
        axes = figure.add_subplot(len(waveforms), 1, position)
        level = _decibels(waveform)
        axes.imshow(
            level, origin="lower", aspect="auto", cmap="magma", vmin=-_RANGE_DB, vmax=0.0,
            extent=(0.0, waveform.duration_s, 0.0, waveform.sample_rate / 2),
        )  # fmt: skip
        track = pitch(waveform.samples, waveform.sample_rate).hz
        axes.plot(np.arange(len(track)) * FRAME_S, np.where(track > 0, track * 10, np.nan), color="cyan", linewidth=1)
        axes.set(xlim=(0.0, longest), ylim=(0.0, _TOP_HZ), ylabel="Hz (line: F0 x 10)", title=name)
        axes.title.set_fontsize(9)
        axes.yaxis.label.set_fontsize(8)
    axes.set_xlabel("s")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})


def _decibels(waveform: Waveform) -> NDArray[np.float64]:
    """(bins, frames), 0 at the loudest."""
    x = np.pad(np.nan_to_num(waveform.samples.astype(np.float64)), _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(x, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames)).T ** 2
    level: NDArray[np.float64] = 10 * np.log10(power / max(float(power.max()), 1e-12) + 1e-12)
    return level
