"""At start: what a step of 1, 2, 4 … rows costs here, and with it how many rows had better share one.

A GPU computes sixteen rows in hardly more than the time of one, up to a number that is measured, within a budget of
seconds.  A processor has its hands full with one: 30.0 ms alone, 30.1 each of two, 30.6 of four, 31.2 of eight (mini in
float32; 16.7 to 19.9 in bfloat16).  There nothing is measured, a step is one row's: the most urgent one is heard first,
and a request's bytes are the same in any company and on any worker, however busy the machine was when it started.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from megatts3.engine.forward_choice import TYPICAL_LATENT_FRAMES, typical_row
from megatts3.engine.row_failure import is_fatal, is_out_of_memory
from megatts3.engine.runner import give_memory_back
from megatts3.engine.step_cost import StepCost, fit, rows_worth_sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from megatts3.checkpoint import Networks
    from megatts3.engine.batch import RowState
    from megatts3.engine.config import EngineConfig
    from megatts3.engine.forwards import Forward

log = logging.getLogger(__name__)

_MEMORY_MARGIN = 0.8  # of the free memory a step may take
_SLOW_STEP = 0.1  # of the budget; a step of one row that takes longer has the whole device busy
_REPEATS = 3  # the shortest counts: another process can only make a step longer


@dataclass(frozen=True)
class Calibrated:
    """rows: in a step;  latent_frames: of a step, padding included, None for no bound;  cost: of a step"""

    rows: int
    latent_frames: int | None
    cost: StepCost


def choose_rows(
    networks: Networks, forward: Forward, config: EngineConfig, *, timer: Callable[[], float] = time.perf_counter
) -> Calibrated:
    """One on a CPU that is left to choose, elsewhere what is measured; without a budget as configured."""
    if networks.device.type == "cpu" and config.calibrate_s > 0:
        return Calibrated(1, config.max_latent_frames, StepCost(pads=forward.pads, max_padding=config.max_padding))
    return calibrate(networks, forward, config, timer=timer)


@torch.inference_mode()
def calibrate(
    networks: Networks, forward: Forward, config: EngineConfig, *, timer: Callable[[], float] = time.perf_counter
) -> Calibrated:
    """Measure, for about `config.calibrate_s`; without a budget everything is as configured."""
    plain = StepCost(pads=forward.pads, max_padding=config.max_padding)
    if config.calibrate_s <= 0:
        return Calibrated(config.max_rows, config.max_latent_frames, plain)
    seconds, frame_bytes, failed = _measure(networks, forward, config, timer)
    if not seconds:
        return Calibrated(1, config.max_latent_frames, plain)
    fixed_s, frame_s = fit(seconds, TYPICAL_LATENT_FRAMES)
    rows = rows_worth_sharing(seconds)
    is_slow = seconds[1] > _SLOW_STEP * config.calibrate_s
    # Where the budget ended while more rows still gained, the configured number is taken at its word; but not where
    # one row alone keeps the device so busy that a second was never looked at.
    if rows == max(seconds) and not failed and not (is_slow and len(seconds) == 1):
        rows = config.max_rows
    bound = _memory_bound(networks.device, frame_bytes, config.max_latent_frames)
    log.info(
        "engine_calibrated rows=%d fixed_ms=%.2f frame_us=%.2f frames=%s", rows, fixed_s * 1e3, frame_s * 1e6, bound
    )
    cost = StepCost(fixed_s, frame_s, forward.pads, config.max_padding)
    return Calibrated(rows, bound, cost)


def _measure(
    networks: Networks, forward: Forward, config: EngineConfig, timer: Callable[[], float]
) -> tuple[dict[int, float], float, bool]:
    """Seconds of a step by its rows; bytes a latent frame takes (0 where unknown); whether more rows failed."""
    began, rows, seconds, frame_bytes, failed = timer(), 1, dict[int, float](), 0.0, False
    every = [typical_row(networks) for _ in range(config.max_rows)]
    while rows <= config.max_rows:
        some = every[:rows]
        try:
            _run(networks.device, forward, some)  # touches memory, records
            if timer() - began > config.calibrate_s and seconds:
                break
            _run(networks.device, forward, some)
            before = _reset_peak(networks.device)
            seconds[rows] = _seconds(networks.device, forward, some, timer)
            for _ in range(_REPEATS - 1):
                if timer() - began < config.calibrate_s / 2:
                    seconds[rows] = min(seconds[rows], _seconds(networks.device, forward, some, timer))
            frame_bytes = max(frame_bytes, _peak(networks.device, before) / forward.computed_frames(some))
        except Exception as error:
            if is_fatal(error) or not is_out_of_memory(error):
                raise
            give_memory_back()
            failed = True
            break
        if timer() - began + 4 * seconds[rows] > config.calibrate_s:
            break
        rows *= 2
    forward.forget_rows()
    return seconds, frame_bytes, failed


def _seconds(device: torch.device, forward: Forward, rows: list[RowState], timer: Callable[[], float]) -> float:
    started = timer()
    _run(device, forward, rows)
    return timer() - started


def _run(device: torch.device, forward: Forward, rows: list[RowState]) -> None:
    forward.velocities(rows, [0] * len(rows))
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device, before: int) -> int:
    return torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else 0


def _memory_bound(device: torch.device, frame_bytes: float, configured: int | None) -> int | None:
    if device.type != "cuda" or frame_bytes <= 0:
        return configured
    free, _ = torch.cuda.mem_get_info(device)
    frames = max(1, int(_MEMORY_MARGIN * free / frame_bytes))
    return frames if configured is None else min(frames, configured)
