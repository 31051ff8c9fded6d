"""Steps side by side: how many lanes an engine has, and what is each one's own.

A GPU has one lane, whose steps hold many rows.  A processor is better used by as many lanes as it has cores, each
with a step of one row: two threads inside one small forward wait for each other at every product (mini in bfloat16:
17 ms on one core, 12 on two, but 10 a row where each core has a row of its own).  A lane that works alone is given
all threads; sums are not split among threads, so that no sample depends on how many there were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from megatts3.checkpoint import Networks
    from megatts3.engine.config import EngineConfig
    from megatts3.engine.runner import Runner

MOST_LANES = 8  # Python runs in one of them at a time: about a tenth of a small network's step is Python


@dataclass(eq=False)
class Lane:
    """spent_s: seconds of its present turn outside the loop's lock, in tensor work"""

    number: int
    runner: Runner
    spent_s: float = 0.0


def choose_lanes(networks: Networks, config: EngineConfig) -> int:
    """As configured; else one for each thread of a processor that is left to choose, and one anywhere else."""
    if config.lanes is not None:
        return config.lanes
    if networks.device.type != "cpu" or config.calibrate_s <= 0:
        return 1
    return min(MOST_LANES, torch.get_num_threads())


def lanes_of(runner: Runner, count: int) -> list[Lane]:
    """`runner` and as many more as there are lanes."""
    return [Lane(number, runner if number == 0 else runner.another()) for number in range(count)]
