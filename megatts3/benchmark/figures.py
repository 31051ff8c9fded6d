"""A window of load → figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from megatts3.engine.counters import Counters

if TYPE_CHECKING:
    from megatts3.benchmark.load import Window


@dataclass(frozen=True)
class Cell:
    """One contender under one load.  Times in seconds.

    mode, load:     "closed" and its clients, or "offered" and its requests a second
    audio_per_s:    seconds of sound per second: throughput; its inverse is the real-time factor
    processor_per_audio_s: seconds of processor per second of sound; steadier than the clock on a busy machine
    first_audio_processor_p50: the same up to the first sound; its own only where there is one client
    processor_share: of the processor time that its threads could have had; low where the machine was busy with others
    rows_per_step, padding_waste, steps_per_s: of the DiT's forwards; waste is the padded share of their frames
    ceiling_share:  the DiT's operations, padding left out, over what matrix products alone could have done in the
                    time of its forwards, or of the whole window where a contender does not count that time
    machine_share:  what matrix products did just before and after, over what they did at the start of the run: below 1
                    the machine itself was slower, and this cell is not to be compared with others by the clock
    scheduler_share: time between the forwards that goes to choosing, batching and handing out, over theirs
    wrong:          requests whose sound was not what was planned, and why
    """

    contender: str
    mode: str
    load: float
    requests: int
    audio_s: float
    duration_s: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    first_audio_p50: float
    first_audio_p95: float
    audio_per_s: float
    rtf: float
    processor_per_audio_s: float
    first_audio_processor_p50: float
    processor_share: float
    rows_per_step: float
    padding_waste: float
    steps_per_s: float
    ceiling_share: float
    machine_share: float
    scheduler_share: float
    wrong: tuple[str, ...]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def cell(
    contender: str,
    mode: str,
    load: float,
    windows: Sequence[Window],
    *,
    operations: float,
    ceiling: float,
    ceiling_meanwhile: float,
    threads: int,
) -> Cell:
    """Windows of the same load as one; operations: of the DiT in all of them.

    ceiling: operations per second that the machine can do, found at the start;  ceiling_meanwhile: around the windows
    """
    timings = [timing for window in windows for timing in window.timings]
    latencies = [timing.latency_s for timing in timings]
    firsts = [timing.to_first_audio_s for timing in timings]
    duration_s = sum(window.duration_s for window in windows)
    audio_s = sum(timing.audio_s for timing in timings if timing.wrong is None)
    processor_s = sum(window.processor_s for window in windows)

    counted = Counters()
    for window in windows:
        counted = counted.plus(**window.after.minus(window.before).__dict__)
    return Cell(
        contender=contender,
        mode=mode,
        load=load,
        requests=len(timings),
        audio_s=audio_s,
        duration_s=duration_s,
        latency_p50=percentile(latencies, 0.5),
        latency_p95=percentile(latencies, 0.95),
        latency_p99=percentile(latencies, 0.99),
        first_audio_p50=percentile(firsts, 0.5),
        first_audio_p95=percentile(firsts, 0.95),
        audio_per_s=audio_s / duration_s,
        rtf=duration_s / audio_s if audio_s else math.inf,
        processor_per_audio_s=processor_s / audio_s if audio_s else math.inf,
        first_audio_processor_p50=percentile([timing.to_first_processor_s for timing in timings], 0.5),
        processor_share=processor_s / (duration_s * threads),
        rows_per_step=counted.rows_per_step,
        padding_waste=counted.padding_waste,
        steps_per_s=counted.steps / duration_s,
        ceiling_share=operations / ((counted.step_s or duration_s) * ceiling),
        machine_share=ceiling_meanwhile / ceiling,
        scheduler_share=counted.scheduler_share,
        wrong=tuple(f"request {timing.number}: {timing.wrong}" for timing in timings if timing.wrong is not None),
    )
