"""The only file that calls the networks on a batch.  Prepare, denoise, decode; no queue, no thread.

What is the same for every step is computed once a row; what is the same for every row (the time
embedding's vectors) once a grid; the duration LM's state once a voice.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from megatts3.engine.batch import PaddedRows, RowState, pad_rows
from megatts3.engine.scheduler import Batch, Row
from megatts3.errors import MegaTTS3Error, NonFinite, RowFailed, UnusableSound
from megatts3.models.diffusion_transformer import Modulations
from megatts3.pipeline.conditioning import condition, guided, precision
from megatts3.pipeline.finish import decode_windows, target_window
from megatts3.pipeline.plan import (
    Phonemized,
    PlannedSegment,
    duration_prompt,
    plan_segment,
    segment_generator,
)
from megatts3.pipeline.sound_check import is_half, sound_of
from megatts3.pipeline.synthesize import denoise
from megatts3.sampling.noise import RowNoise
from megatts3.sampling.solver import SOLVERS, advance
from megatts3.sampling.time_grid import GRIDS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from torch import Tensor

    from megatts3.audio.waveform import Waveform
    from megatts3.checkpoint import Networks
    from megatts3.models.duration_lm import DurationPrompt
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.params import SamplingParams
    from megatts3.sampling.time_grid import TimeGrid

_VOICES_KEPT = 64
_GRIDS_KEPT = 4  # at release size a grid of 32 steps has 19 MB of vectors

Failures = dict[Row[RowState], MegaTTS3Error]
V = TypeVar("V")


class _Recent(Generic[V]):
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


class Runner:
    """Networks at work.  Used by one thread."""

    def __init__(self, networks: Networks, *, timer: Callable[[], float] = time.perf_counter) -> None:
        """forward_s: seconds spent inside forwards so far"""
        self.networks = networks
        self.forward_s = 0.0
        self._timer = timer
        self._prompts: _Recent[DurationPrompt] = _Recent(_VOICES_KEPT)
        self._modulations: _Recent[Modulations] = _Recent(_GRIDS_KEPT)
        self._padded: PaddedRows | None = None

    def plan(
        self,
        segment: Phonemized,
        index: int,
        count: int,
        *,
        voice: VoicePrompt,
        params: SamplingParams,
        draws: torch.Generator | None = None,
    ) -> PlannedSegment:
        """Durations of one segment."""
        prompt = self._prompts.get(voice.fingerprint, lambda: duration_prompt(self.networks, voice))
        if draws is None:
            draws = segment_generator(params.seed, index)
        return plan_segment(self.networks, prompt, segment, index, count, params, draws)

    @torch.inference_mode()
    def prepare(
        self, segment: Phonemized, index: int, count: int, *, voice: VoicePrompt, params: SamplingParams
    ) -> RowState:
        """All of a segment that comes before its first step."""
        draws = segment_generator(params.seed, index)
        planned = self.plan(segment, index, count, voice=voice, params=params, draws=draws)
        given = condition(self.networks.dit, voice, planned, params)
        noise = RowNoise(draws, given.latent_frames)
        grid = GRIDS[params.grid](params.steps)
        solver = SOLVERS[params.solver]
        return RowState(
            segment=planned,
            voice=voice,
            params=params,
            given=given,
            noise=noise,
            grid=grid,
            moves=tuple(solver(t, t_next) for t, t_next in pairwise(grid)),
            x=noise.initial().to(self.networks.device),
        )

    @torch.inference_mode()
    def denoise(self, batch: Batch[RowState]) -> Failures:
        """Move every row by its own next step.  Returns the rows that could not be moved, and why."""
        rows = batch.rows
        if not rows:
            self._padded = None
            return {}
        try:
            velocities = self._velocities(rows)
        except Exception as error:  # noqa: BLE001  a row fails, not the batch: find out which one
            if len(rows) == 1:
                return {rows[0]: as_row_failure(rows[0].ticket.request_id, error)}
            failures: Failures = {}
            for row in rows:
                failures.update(self.denoise(Batch((row,))))
            return failures
        return self._move(rows, velocities)

    def decode(self, rows: Sequence[Row[RowState]]) -> dict[Row[RowState], Waveform | MegaTTS3Error]:
        """The sound of each row that is through, decoded together; or why a row has none."""
        try:
            return dict(zip(rows, self._decode(rows), strict=True))
        except Exception as error:  # noqa: BLE001  a row fails, not the batch: find out which one
            if len(rows) == 1:
                return {rows[0]: as_row_failure(rows[0].ticket.request_id, error)}
            return {row: found for each in rows for row, found in self.decode([each]).items()}

    def _decode(self, rows: Sequence[Row[RowState]]) -> list[Waveform | MegaTTS3Error]:
        wavvae = self.networks.wavvae
        windows = [target_window(wavvae, row.payload.x, row.payload.given.prompt) for row in rows]
        found: list[Waveform | MegaTTS3Error] = []
        for row, samples in zip(rows, decode_windows(wavvae, windows), strict=True):
            state = row.payload
            try:
                found.append(
                    sound_of(
                        self.networks,
                        samples,
                        voice=state.voice,
                        segment=state.segment,
                        params=state.params,
                        denoise=denoise,
                    )
                )
            except UnusableSound as error:
                found.append(error)
        return found

    def _velocities(self, rows: Sequence[Row[RowState]]) -> list[Tensor]:
        """Guided velocity (T, C) of each row at its own step: one forward for all."""
        states = [row.payload for row in rows]
        if self._padded is None or not self._padded.holds(states):
            self._padded = pad_rows(states)
        padded = self._padded
        times = self._times(rows).rows(padded.owner)
        x, began = padded.x(), self._timer()
        with precision(self.networks.dit):
            found = self.networks.dit.velocity(x, times, padded.states, padded.prompt_mask, padded.key_mask)
        self.forward_s += self._timer() - began
        return [
            guided(velocities.float(), state.given.branches, state.params)
            for state, velocities in zip(states, padded.split(found), strict=True)
        ]

    def _move(self, rows: Sequence[Row[RowState]], velocities: Sequence[Tensor]) -> Failures:
        moved = []
        for row, velocity in zip(rows, velocities, strict=True):
            state, step = row.payload, row.steps_done
            noise = state.noise.at(step).to(velocity.device)
            moved.append(advance(state.x, velocity, noise, state.moves[step]))
        are_finite = torch.stack([x.isfinite().all() for x in moved]).tolist()
        failures: Failures = {}
        for row, x, is_finite in zip(rows, moved, are_finite, strict=True):
            row.payload.x = x
            if not is_finite and not is_half(self.networks):  # in half precision sound_of tries once more
                failures[row] = NonFinite(row.ticket.request_id, f"latent at step {row.steps_done}")
        return failures

    def _times(self, rows: Sequence[Row[RowState]]) -> Modulations:
        """The adaptive-norm vectors of each row's present time. (B, …)"""
        tables = [(self._table(row.payload.grid), row.steps_done) for row in rows]
        return Modulations(
            torch.stack([table.layers[step] for table, step in tables]),
            torch.stack([table.final[step] for table, step in tables]),
        )

    def _table(self, grid: TimeGrid) -> Modulations:
        def make() -> Modulations:
            with precision(self.networks.dit):
                return self.networks.dit.modulations(torch.tensor(grid[:-1], device=self.networks.device))

        return self._modulations.get(grid, make)


def as_row_failure(request_id: str, error: Exception) -> MegaTTS3Error:
    """The library's own errors pass; any other becomes RowFailed, without its text, which may quote."""
    if isinstance(error, MegaTTS3Error):
        return error
    failure = RowFailed(request_id, type(error).__name__)
    failure.__cause__ = error
    return failure
