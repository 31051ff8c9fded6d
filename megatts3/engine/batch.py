"""Rows → padded tensors → rows.

A row's branches lie beside one another in the batch dimension.  What does not change from step to
step is padded once, for as long as the same rows stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from megatts3.pipeline.conditioning import Conditioning
    from megatts3.pipeline.plan import PlannedSegment
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.noise import Noise
    from megatts3.sampling.params import SamplingParams
    from megatts3.sampling.solver import Move
    from megatts3.sampling.time_grid import TimeGrid


@dataclass(eq=False)
class RowState:
    """A segment on its way from noise to latent.  The runner moves `x`; nothing else changes.

    x: (T - P, C) state over the target, on the engine's device; nobody reads one of the prompt span
    """

    segment: PlannedSegment
    voice: VoicePrompt
    params: SamplingParams
    given: Conditioning
    noise: Noise
    grid: TimeGrid
    moves: tuple[Move, ...]
    x: Tensor

    @property
    def prompt_frames(self) -> int:
        return len(self.given.prompt)

    @property
    def latent_frames(self) -> int:
        """T: prompt span and target."""
        return self.given.latent_frames


@dataclass(frozen=True, eq=False)
class PaddedRows:
    """B rows with N branches in all, padded to T latent frames.

    states:      (N, T, D) conditioning
    prompt_mask: (N, T, 1)
    key_mask:    (N, T) bool, or None where no row is padded
    owner:       (N,) the row of each branch
    branches:    (B,) how many each row has
    """

    rows: tuple[RowState, ...]
    states: Tensor
    prompt_mask: Tensor
    key_mask: Tensor | None
    owner: Tensor
    branches: tuple[int, ...]

    @property
    def latent_frames(self) -> int:
        return self.states.shape[1]

    def x(self) -> Tensor:
        """The rows' states, zeros around them, once a branch. (N, T, C)"""
        placed = [
            functional.pad(row.x, (0, 0, row.prompt_frames, self.latent_frames - row.latent_frames))
            for row in self.rows
        ]
        return torch.stack(placed)[self.owner]

    def split(self, velocities: Tensor) -> list[Tensor]:
        """(N, T, C) → for each row its branches' velocities over its own target, (K, T_row - P_row, C)."""
        parts = torch.split(velocities, list(self.branches))
        return [part[:, row.prompt_frames : row.latent_frames] for part, row in zip(parts, self.rows, strict=True)]


def pad_rows(rows: Sequence[RowState], latent_frames: int | None = None) -> PaddedRows:
    """Stack rows, padding the shorter ones on the right with zeros, to `latent_frames` if given."""
    longest = latent_frames or max(row.latent_frames for row in rows)
    device = rows[0].x.device
    branches = tuple(len(row.given.branches) for row in rows)
    owner = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(branches)).to(device)
    lengths = torch.tensor([row.latent_frames for row in rows], device=device)
    is_padded = any(row.latent_frames < longest for row in rows)
    masks = torch.stack([_pad(row.given.prompt_mask, longest) for row in rows])
    return PaddedRows(
        rows=tuple(rows),
        states=torch.cat([_pad(row.given.states, longest) for row in rows]),
        prompt_mask=masks[owner],
        key_mask=(torch.arange(longest, device=device) < lengths[owner, None]) if is_padded else None,
        owner=owner,
        branches=branches,
    )


def _pad(x: Tensor, length: int) -> Tensor:
    """(…, T, C) → (…, length, C)"""
    return functional.pad(x, (0, 0, 0, length - x.shape[-2]))
