"""Grids of flow time, from 0 (noise) to 1 (data). Plain Python."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

TimeGrid = tuple[float, ...]


def sway(steps: int) -> TimeGrid:
    """Dense near the noise: 1 - cos(π u / 2) at equidistant u (SPEC 6.7). steps + 1 values."""
    inner = (1.0 - math.cos(math.pi / 2 * k / steps) for k in range(1, steps))
    return (0.0, *inner, 1.0)


def uniform(steps: int) -> TimeGrid:
    """Equidistant. steps + 1 values."""
    return tuple(k / steps for k in range(steps + 1))


def eased(steps: int) -> TimeGrid:
    """Dense near the noise and somewhat near the data: half sway, half a cosine that is slow at both ends.

    For few steps, where sway's last ones are very long (docs/performance.md).  steps + 1 values.
    """
    inner = (
        0.5 * (1.0 - math.cos(math.pi / 2 * k / steps)) + 0.25 * (1.0 - math.cos(math.pi * k / steps))
        for k in range(1, steps)
    )
    return (0.0, *inner, 1.0)


GRIDS: Mapping[str, Callable[[int], TimeGrid]] = MappingProxyType({"sway": sway, "eased": eased, "uniform": uniform})
