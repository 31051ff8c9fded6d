"""How far few steps end from many: latents by grid, solver and number of steps, from the same noise.

The two solvers have two goals.  Euler's is the one solution that the starting noise has.  The overshoot adds fresh
noise at every step, so its goal is any draw of a cloud: two draws of many steps lie `floor` apart, and few steps
cannot be told from many once they are no farther off than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import torch

from megatts3.pipeline.conditioning import condition, guided, precision
from megatts3.sampling.noise import RecordedNoise, generator, segment_seed
from megatts3.sampling.solver import SOLVERS, sample_latent
from megatts3.sampling.time_grid import GRIDS

if TYPE_CHECKING:
    from torch import Tensor

    from megatts3.benchmark.request import BenchRequest
    from megatts3.benchmark.subject import Subject
    from megatts3.pipeline.plan import PlannedSegment

MANY_STEPS = 128
_GRID_OF_MANY = "sway"


@dataclass(frozen=True)
class Distance:
    """relative: ‖x - goal‖ ÷ ‖goal‖ over the target's latents, the mean of some segments."""

    grid: str
    solver: str
    steps: int
    relative: float


@dataclass(frozen=True)
class Distances:
    """floors: by solver, how far two draws of many steps lie apart that began alike; 0 for Euler."""

    segments: int
    floors: dict[str, float]
    found: tuple[Distance, ...]


class _Segment:
    """One segment ready to be solved in any way, always from the same noise."""

    def __init__(self, subject: Subject, request: BenchRequest, segment: PlannedSegment) -> None:
        self._dit, self._params = subject.networks.dit, request.params
        self._given = condition(self._dit, request.voice.prompt, segment, request.params)
        self._seed = segment_seed(request.params.seed, segment.index)
        self._prompt_frames = request.voice.prompt.latent_frames

    def solve(self, grid: str, solver: str, steps: int, draw: int = 0) -> Tensor:
        """The target's latent (Ts, C).  draw: which noise the steps add; the start is the same for all."""
        shape = (self._given.latent_frames, self._given.prompt.shape[1])
        start = torch.randn(shape, generator=generator(self._seed))
        fresh = torch.randn((steps, *shape), generator=generator(self._seed + 1 + draw))
        x = sample_latent(self._velocity, RecordedNoise(start, fresh), GRIDS[grid](steps), SOLVERS[solver])
        return x[self._prompt_frames :]

    def _velocity(self, x: Tensor, t: float) -> Tensor:
        states, branches = self._given.states, self._given.branches
        rows = len(branches)
        with precision(self._dit):
            velocities = self._dit.velocity(
                x.to(states.device).expand(rows, -1, -1),
                torch.full((rows,), t, device=states.device),
                states,
                self._given.prompt_mask.expand(rows, -1, -1),
            )
        return guided(velocities.float(), branches, self._params).to(x.device)


@torch.inference_mode()
def measure_distances(
    subject: Subject,
    asked: Iterable[BenchRequest],
    steps: Sequence[int],
    *,
    grids: Sequence[str] = tuple(GRIDS),
    many: int = MANY_STEPS,
) -> Distances:
    """Every grid and solver with every number of steps, over all segments of the requests."""
    segments = [_Segment(subject, request, segment) for request in asked for segment in request.expected.segments]
    offs: dict[tuple[str, str, int], list[float]] = {}
    floors: dict[str, list[float]] = {solver: [] for solver in SOLVERS}
    for segment in segments:
        for solver in SOLVERS:
            goal = segment.solve(_GRID_OF_MANY, solver, many)
            again = segment.solve(_GRID_OF_MANY, solver, many, draw=1) if _adds_noise(solver) else goal
            floors[solver].append(_off(again, goal))
            for grid in grids:
                for count in steps:
                    offs.setdefault((grid, solver, count), []).append(_off(segment.solve(grid, solver, count), goal))
    return Distances(
        segments=len(segments),
        floors={solver: mean(values) for solver, values in floors.items()},
        found=tuple(Distance(*key, mean(values)) for key, values in offs.items()),
    )


def _adds_noise(solver: str) -> bool:
    return SOLVERS[solver](0.0, 0.5).noise != 0.0


def _off(x: Tensor, goal: Tensor) -> float:
    return float((x - goal).norm() / goal.norm())


def distance_table(distances: Distances) -> str:
    """A row a grid and solver, a column a number of steps; the last column the floor."""
    steps = sorted({d.steps for d in distances.found})
    rows: dict[tuple[str, str], dict[int, float]] = {}
    for d in distances.found:
        rows.setdefault((d.solver, d.grid), {})[d.steps] = d.relative
    return "\n".join(_lines(rows, steps, distances.floors))


def _lines(
    rows: dict[tuple[str, str], dict[int, float]], steps: Sequence[int], floors: dict[str, float]
) -> Iterator[str]:
    yield "| solver | grid | " + " | ".join(f"{count} steps" for count in steps) + " | two draws of many |"
    yield "| --- | --- |" + " ---: |" * (len(steps) + 1)
    for (solver, grid), values in sorted(rows.items()):
        shown = " | ".join(f"{values[count]:.3f}" for count in steps)
        yield f"| {solver} | {grid} | {shown} | {floors[solver]:.3f} |"
