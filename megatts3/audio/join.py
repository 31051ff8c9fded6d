"""Cross-fade segments into one waveform (SPEC 8.4).

`Joiner` does it piece by piece, for streaming: what it has given out never changes afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from megatts3.audio.waveform import Waveform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OVERLAP_S = 0.16  # 3840 samples at 24 kHz


class Joiner:
    """Joins segments as they come.  Holds back one overlap until it knows what follows."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._overlap = round(OVERLAP_S * sample_rate)
        self._held: NDArray[np.float64] = np.zeros(0)

    def push(self, waveform: Waveform) -> Waveform:
        """Add the next segment; returns the samples that are final now (perhaps none).

        A segment shorter than the overlap is faded over its own length.
        """
        if waveform.sample_rate != self.sample_rate:
            raise ValueError(f"cannot join {waveform.sample_rate} Hz to {self.sample_rate} Hz")
        joined = _crossfade(self._held, waveform.samples.astype(np.float64), self._overlap)
        final = max(0, len(joined) - self._overlap)
        self._held = joined[final:]
        return Waveform(joined[:final], self.sample_rate)

    def finish(self) -> Waveform:
        """The rest."""
        rest, self._held = self._held, np.zeros(0)
        return Waveform(rest, self.sample_rate)


def join(waveforms: Sequence[Waveform]) -> Waveform:
    """All segments as one; its length is the sum less one overlap a seam.  Needs at least one."""
    if not waveforms:
        raise ValueError("nothing to join")
    if len(waveforms) == 1:
        return waveforms[0]
    joiner = Joiner(waveforms[0].sample_rate)
    pieces = [joiner.push(waveform).samples for waveform in waveforms]
    pieces.append(joiner.finish().samples)
    return Waveform(np.concatenate(pieces), waveforms[0].sample_rate)


def _crossfade(before: NDArray[np.float64], after: NDArray[np.float64], overlap: int) -> NDArray[np.float64]:
    """Overlap-add with the halves of a symmetric Hann window; `overlap` shrinks to what is there."""
    overlap = min(overlap, len(before), len(after))
    if overlap == 0:
        return np.concatenate([before, after])
    window = np.hanning(2 * overlap)
    seam = before[-overlap:] * window[overlap:] + after[:overlap] * window[:overlap]
    return np.concatenate([before[:-overlap], seam, after[overlap:]])
