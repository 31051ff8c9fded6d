"""The only file that calls the networks on a batch.  Denoise and decode; no queue, no thread.

What a batch cannot do, its parts may: a forward that fails is done again in halves, down to the row that fails
alone.  Nothing is drawn or moved before a forward has succeeded, so doing it again changes no sound.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from megatts3.engine.row_failure import as_row_failure, is_fatal, is_out_of_memory
from megatts3.errors import DeviceLost, MegaTTS3Error, NonFinite, UnusableSound
from megatts3.pipeline.conditioning import guided
from megatts3.pipeline.finish import decode_windows, target_window
from megatts3.pipeline.sound_check import is_half, sound_of
from megatts3.pipeline.synthesize import denoise
from megatts3.sampling.solver import advance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from megatts3.audio.waveform import Waveform
    from megatts3.checkpoint import Networks
    from megatts3.engine.batch import RowState
    from megatts3.engine.forwards import Forward
    from megatts3.engine.scheduler import Row

Failures = dict["Row[RowState]", MegaTTS3Error]
Sounds = dict["Row[RowState]", "Waveform | MegaTTS3Error"]


class Runner:
    """Networks at work.  Used by one lane.

    forward_s:   seconds inside forwards so far;  splits: forwards that were done again in parts
    out_of_memory_frames: the fewest latent frames a forward had when memory was short; None while it never was
    """

    def __init__(self, networks: Networks, forward: Forward, *, timer: Callable[[], float] = time.perf_counter) -> None:
        self.networks, self.forward = networks, forward
        self.forward_s, self.splits = 0.0, 0
        self.out_of_memory_frames: int | None = None
        self._timer = timer

    def another(self) -> Runner:
        """One more for another lane."""
        return Runner(self.networks, self.forward.another(), timer=self._timer)

    @torch.inference_mode()
    def denoise(self, rows: Sequence[Row[RowState]]) -> Failures:
        """Move every row by its own next step.  Returns the rows that could not be moved, and why.

        Raises DeviceLost.
        """
        if not rows:
            self.forward.forget_rows()
            return {}
        try:
            velocities = self._velocities(rows)
        except Exception as error:  # whichever row it is of: found out by halves
            if is_fatal(error):
                raise DeviceLost(type(error).__name__) from error
            self._note(rows, error)
            if len(rows) == 1:
                return {rows[0]: as_row_failure(rows[0].ticket.request_id, error)}
            half = len(rows) // 2
            return self.denoise(rows[:half]) | self.denoise(rows[half:])
        return self._move(rows, velocities)

    def decode(self, rows: Sequence[Row[RowState]]) -> Sounds:
        """The sound of each row that is through, decoded together; or why a row has none.  Raises DeviceLost."""
        try:
            return dict(zip(rows, self._decode(rows), strict=True))
        except Exception as error:  # as above
            if is_fatal(error):
                raise DeviceLost(type(error).__name__) from error
            if is_out_of_memory(error):
                give_memory_back()
            if len(rows) == 1:
                return {rows[0]: as_row_failure(rows[0].ticket.request_id, error)}
            half = len(rows) // 2
            return self.decode(rows[:half]) | self.decode(rows[half:])

    def _velocities(self, rows: Sequence[Row[RowState]]) -> list[Tensor]:
        """Guided velocity (T - P, C) of each row at its own step: one forward for all."""
        states = [row.payload for row in rows]
        began = self._timer()
        try:
            found = self.forward.velocities(states, [row.steps_done for row in rows])
            return [
                guided(velocities, state.given.branches, state.params)
                for state, velocities in zip(states, found, strict=True)
            ]
        finally:
            if self.networks.device.type == "cuda":
                torch.cuda.synchronize(self.networks.device)  # as the look at finite values would a moment later
            self.forward_s += self._timer() - began

    def _move(self, rows: Sequence[Row[RowState]], velocities: Sequence[Tensor]) -> Failures:
        moved = []
        for row, velocity in zip(rows, velocities, strict=True):
            state, step = row.payload, row.steps_done
            noise = state.noise.at(step)[state.prompt_frames :].to(velocity.device)
            moved.append(advance(state.x, velocity, noise, state.moves[step]))
        are_finite = torch.stack([x.isfinite().all() for x in moved]).tolist()
        failures: Failures = {}
        for row, x, is_finite in zip(rows, moved, are_finite, strict=True):
            row.payload.x = x
            if not is_finite and not is_half(self.networks):  # in half precision sound_of tries once more
                failures[row] = NonFinite(row.ticket.request_id, f"latent at step {row.steps_done}")
        return failures

    def _note(self, rows: Sequence[Row[RowState]], error: Exception) -> None:
        self.splits += 1
        self.forward.forget_rows()
        if is_out_of_memory(error):
            frames = self.forward.computed_frames([row.payload for row in rows])
            self.out_of_memory_frames = min(frames, self.out_of_memory_frames or frames)
            give_memory_back()

    def _decode(self, rows: Sequence[Row[RowState]]) -> list[Waveform | MegaTTS3Error]:
        wavvae = self.networks.wavvae
        windows = [target_window(wavvae, row.payload.x, row.payload.given.prompt) for row in rows]
        return [
            self._sound(row.payload, samples)
            for row, samples in zip(rows, decode_windows(wavvae, windows), strict=True)
        ]

    def _sound(self, state: RowState, samples: Tensor) -> Waveform | MegaTTS3Error:
        try:
            return sound_of(
                self.networks, samples, voice=state.voice, segment=state.segment, params=state.params, denoise=denoise
            )
        except UnusableSound as error:
            return error


def give_memory_back() -> None:
    """What the allocator keeps for later, to whoever needs it now."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
