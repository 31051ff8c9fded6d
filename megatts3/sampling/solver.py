"""One solver move, and the loop that repeats it.

Every solver here is a choice of three numbers per step: x ← keep · (x + reach · velocity) + noise · ε. The
choosing is plain Python; the arithmetic takes one such triple for all rows, or one for each.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from megatts3.sampling.noise import Noise
from megatts3.sampling.time_grid import TimeGrid

OVERSHOOT = 3.0  # how many further steps the overshoot looks ahead (SPEC 6.7)


class Move(NamedTuple):
    """x ← keep · (x + reach · velocity) + noise · ε."""

    reach: float
    keep: float
    noise: float


Solver = Callable[[float, float], Move]
"""(t, t_next) → the move between them; 0 ≤ t < t_next ≤ 1."""


def euler(t: float, t_next: float) -> Move:
    """Straight on; no fresh noise."""
    return Move(t_next - t, 1.0, 0.0)


def overshoot(t: float, t_next: float) -> Move:
    """Go past t_next along the velocity, then come back by scaling down and adding noise (AMO; SPEC 6.7)."""
    target = min(t_next + OVERSHOOT * (t_next - t), 1.0)
    keep = t_next / target
    variance = (1.0 - t_next) ** 2 - (keep * (1.0 - target)) ** 2
    return Move(target - t, keep, math.sqrt(max(variance, 0.0)))


SOLVERS: Mapping[str, Solver] = MappingProxyType({"overshoot": overshoot, "euler": euler})


def advance(x: Tensor, velocity: Tensor, noise: Tensor, move: Move | Sequence[Move]) -> Tensor:
    """Do one move.

    x, velocity, noise: (T, C) or (B, T, C)
    move:               one for all, or one per row of (B, T, C)
    returns:            as x, in x's dtype
    """
    if isinstance(move, Move):
        reach, keep, fresh = move
        return keep * (x + reach * velocity.to(x.dtype)) + fresh * noise
    table = torch.tensor(list(move), dtype=x.dtype, device=x.device)
    reach_rows, keep_rows, fresh_rows = table.T[:, :, None, None].unbind(0)
    return keep_rows * (x + reach_rows * velocity.to(x.dtype)) + fresh_rows * noise


def sample_latent(velocity: Callable[[Tensor, float], Tensor], noise: Noise, grid: TimeGrid, solver: Solver) -> Tensor:
    """Integrate dx/dt = velocity(x, t) from noise (t = 0) to data (t = 1). Returns (T, C)."""
    x = noise.initial()
    for step, (t, t_next) in enumerate(pairwise(grid)):
        x = advance(x, velocity(x, t), noise.at(step), solver(t, t_next))
    return x
