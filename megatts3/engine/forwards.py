"""One evaluation of the DiT for some rows: laid end to end, or side by side with padding.

Both give each row what it has alone.  End to end nothing is padded, which suits a CPU; side by side every
operation is one call for all rows, which suits a GPU.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import torch

from megatts3.engine.batch import PaddedRows, pad_rows
from megatts3.models.diffusion_transformer import Modulations
from megatts3.models.packed_dit import PackedDiT, PackedRows, RowTime
from megatts3.pipeline.conditioning import precision

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from torch import Tensor

    from megatts3.engine.batch import RowState
    from megatts3.engine.cuda_graphs import Velocity
    from megatts3.models.diffusion_transformer import DiffusionTransformer
    from megatts3.models.packed_dit import Attention
    from megatts3.sampling.time_grid import TimeGrid

_GRIDS_KEPT = 4  # at release size a grid of 32 steps has 19 MB of vectors
V = TypeVar("V")


class Forward(Protocol):
    """pads: shorter rows are computed as long as the longest"""

    pads: bool

    def velocities(self, rows: Sequence[RowState], steps: Sequence[int]) -> list[Tensor]:
        """Per row, at its own step: the velocity of each branch over the target, (K, T - P, C) float32."""
        ...

    def computed_frames(self, rows: Sequence[RowState]) -> int:
        """Latent frames that one evaluation of these rows computes, padding included."""
        ...

    def forget_rows(self) -> None:
        """Let go of the rows that were last seen."""
        ...

    def another(self) -> Forward:
        """One more of the same weights, for another thread."""
        ...


class Recent(Generic[V]):
    """The last few values by key."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        if len(self._values) > self._kept:
            self._values.popitem(last=False)
        return self._values[key]


class _Kept(Generic[V]):
    """What was made of some rows, for as long as the same rows stay together."""

    def __init__(self) -> None:
        self._rows: tuple[RowState, ...] = ()
        self._made: V | None = None

    def get(self, rows: Sequence[RowState], make: Callable[[], V]) -> V:
        same = len(rows) == len(self._rows) and all(a is b for a, b in zip(rows, self._rows, strict=True))
        if self._made is None or not same:
            self._made = None  # before its successor is made: both may not fit
            self._made, self._rows = make(), tuple(rows)
        return self._made

    def clear(self) -> None:
        self._rows, self._made = (), None


class PackedForward:
    """Rows end to end."""

    pads = False

    @classmethod
    def of(cls, dit: DiffusionTransformer, dtype: torch.dtype, attention: Attention) -> Self:
        return cls(dit, PackedDiT(dit, dtype, attention))

    def __init__(self, dit: DiffusionTransformer, packed: PackedDiT) -> None:
        self._dit, self._packed = dit, packed
        self._times: Recent[list[RowTime]] = Recent(_GRIDS_KEPT)
        self._kept: _Kept[PackedRows] = _Kept()

    def velocities(self, rows: Sequence[RowState], steps: Sequence[int]) -> list[Tensor]:
        packed = self._kept.get(
            rows,
            lambda: self._packed.pack([row.given.states for row in rows], [row.prompt_frames for row in rows]),
        )
        times = [self._of_grid(row.grid)[step] for row, step in zip(rows, steps, strict=True)]
        return self._packed.velocity([row.x for row in rows], packed, times)

    def computed_frames(self, rows: Sequence[RowState]) -> int:
        return sum(row.latent_frames for row in rows)

    def forget_rows(self) -> None:
        self._kept.clear()

    def another(self) -> PackedForward:
        return PackedForward(self._dit, self._packed)

    def _of_grid(self, grid: TimeGrid) -> list[RowTime]:
        return self._times.get(grid, lambda: RowTime.of_grid(grid_modulations(self._dit, grid)))


class PaddedForward:
    """Rows side by side."""

    pads = True

    def __init__(
        self, dit: DiffusionTransformer, velocity: Velocity | None = None, bucket: Callable[[int], int] | None = None
    ) -> None:
        """velocity: in place of the network's own;  bucket: longest row → frames to pad to"""
        self._dit = dit
        self._velocity = velocity or dit.velocity
        self._bucket = bucket or (lambda longest: longest)
        self._times: Recent[Modulations] = Recent(_GRIDS_KEPT)
        self._kept: _Kept[PaddedRows] = _Kept()

    def velocities(self, rows: Sequence[RowState], steps: Sequence[int]) -> list[Tensor]:
        padded = self._kept.get(rows, lambda: pad_rows(rows, self._frames(rows)))
        tables = [self._times.get(row.grid, partial(grid_modulations, self._dit, row.grid)) for row in rows]
        times = Modulations(
            torch.stack([table.layers[step] for table, step in zip(tables, steps, strict=True)]),
            torch.stack([table.final[step] for table, step in zip(tables, steps, strict=True)]),
        ).rows(padded.owner)
        with precision(self._dit):
            found = self._velocity(padded.x(), times, padded.states, padded.prompt_mask, padded.key_mask)
        return [velocity.float() for velocity in padded.split(found)]

    def computed_frames(self, rows: Sequence[RowState]) -> int:
        return len(rows) * self._frames(rows)

    def forget_rows(self) -> None:
        self._kept.clear()

    def another(self) -> PaddedForward:
        return PaddedForward(self._dit, self._velocity, self._bucket)

    def _frames(self, rows: Sequence[RowState]) -> int:
        return self._bucket(max(row.latent_frames for row in rows))


def grid_modulations(dit: DiffusionTransformer, grid: TimeGrid) -> Modulations:
    """The adaptive-norm vectors of all times of a grid: they depend on t alone (SPEC 10.1)."""
    with precision(dit):
        return dit.modulations(torch.tensor(grid[:-1], device=next(dit.parameters()).device))
