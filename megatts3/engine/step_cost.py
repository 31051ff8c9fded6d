"""What a step costs, by the lengths of its rows; plain Python.  Measured at start, then followed as it runs.

seconds = fixed + per_frame · frames, padding included where rows are padded
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GOOD_ENOUGH = 1.10  # fewer rows are taken where they cost at most so much more each: they are done far earlier


@dataclass(frozen=True)
class StepCost:
    """fixed_s: of any step;  frame_s: of one latent frame of one row, all its branches
    pads:        shorter rows are computed as long as the longest
    max_padding: share of padding that is always accepted
    """

    fixed_s: float = 0.0
    frame_s: float = 0.0
    pads: bool = False
    max_padding: float = 0.05

    def frames(self, lengths: Sequence[int]) -> int:
        """Latent frames that a step of rows so long computes."""
        return len(lengths) * max(lengths) if self.pads else sum(lengths)

    def seconds(self, lengths: Sequence[int]) -> float:
        return self.fixed_s + self.frame_s * self.frames(lengths)

    def is_worth_joining(self, lengths: Sequence[int], another: int) -> bool:
        """Whether one more row had better join this step than have a step of its own.

        Padding is accepted up to `max_padding`, and where it costs less than a further step would.
        """
        if not self.pads:
            return True
        together = [*lengths, another]
        padding = self.frames(together) - sum(together)
        if padding <= self.max_padding * self.frames(together):
            return True
        apart = self.seconds(lengths) + self.seconds([another])
        return self.fixed_s > 0.0 and self.seconds(together) < apart


def fit(measured_s: Mapping[int, float], frames: int) -> tuple[float, float]:
    """(fixed_s, frame_s) from the seconds of steps of 1, 2, 4 … rows of `frames` each, by least squares."""
    points = [(rows * frames, seconds) for rows, seconds in measured_s.items()]
    if len(points) == 1:
        ((x, y),) = points
        return 0.0, y / x
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    slope = max(slope, 0.0)
    return max(mean_y - slope * mean_x, 0.0), slope


def rows_worth_sharing(measured_s: Mapping[int, float]) -> int:
    """The fewest rows a step whose cost per row is about the least that was measured."""
    per_row = {rows: seconds / rows for rows, seconds in measured_s.items()}
    least = min(per_row.values())
    return min(rows for rows, seconds in per_row.items() if seconds <= GOOD_ENOUGH * least)
