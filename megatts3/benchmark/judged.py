"""The figures that have a bound, and whether they keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from megatts3.benchmark.contender import OUR_NAMES

if TYPE_CHECKING:
    from megatts3.benchmark.figures import Cell


@dataclass(frozen=True)
class Bound:
    """must: below it the benchmark fails; aim: where we want to be.  `is_floor`: the value shall be at least so."""

    must: float
    aim: float
    is_floor: bool

    def reached(self, value: float, bound: float) -> bool:
        return value >= bound if self.is_floor else value <= bound


@dataclass(frozen=True)
class Judged:
    """value None: not measured in this run.  unit: "x", "%" or "s", as it is printed; basis: by what it was measured.

    On a machine that is busy with other things the clock says how busy it was; then processor time is taken.
    """

    name: str
    unit: str
    value: float | None
    bound: Bound
    basis: str

    @property
    def must_reached(self) -> bool | None:
        return None if self.value is None else self.bound.reached(self.value, self.bound.must)

    @property
    def aim_reached(self) -> bool | None:
        return None if self.value is None else self.bound.reached(self.value, self.bound.aim)


_BOUNDS: Mapping[str, tuple[str, str, Bound]] = MappingProxyType(
    {
        "reference": ("mini, CPU, 16 clients, mixed lengths: ours ÷ reference", "x", Bound(1.3, 2.0, True)),
        "baseline": ("mini, CPU, 16 clients, mixed lengths: ours ÷ baseline", "x", Bound(4.0, 10.0, True)),
        "official": (
            "official size, CPU, one 10-s request, 8.5-s prompt, 4 steps: ours ÷ baseline", "x", Bound(2.0, 4.0, True),
        ),
        "padding": ("padding waste on the mixed set", "%", Bound(0.15, 0.05, False)),
        "scheduler": ("scheduler and Python over the DiT's forwards, official size", "%", Bound(0.05, 0.02, False)),
        "first audio": ("first audio of a 1,000-character text, mini, CPU", "s", Bound(1.0, 0.4, False)),
        "cliff": (
            "no cliff: growth of p95 over clients ÷ gain of throughput, the worst", "x", Bound(1.5, 1.0, False),
        ),
    }
)  # fmt: skip


CLOCK, PROCESSOR = "clock", "processor time, for the machine was busy"
_BUSY = 0.7  # of the processor time that was there for it; below, something else took it


def judged(key: str, value: float | None, basis: str = CLOCK) -> Judged:
    """key: one of the bounds by its short name; a KeyError for any other."""
    name, unit, bound = _BOUNDS[key]
    return Judged(name, unit, value, bound, basis)


def ratio(cells: Sequence[Cell], other: str, *, load: float) -> tuple[float | None, str]:
    """Throughput of ours, in the precision that is faster, over another's under the same load; and by what measured."""
    found = {cell.contender: cell for cell in cells if cell.load == load and cell.mode == "closed" and cell.audio_s}
    ours = [found[name] for name in OUR_NAMES if name in found]
    if other not in found or not ours:
        return None, CLOCK
    theirs = found[other]
    if min(cell.processor_share for cell in (theirs, *ours)) < _BUSY:
        best = min(ours, key=lambda cell: cell.processor_per_audio_s)
        return theirs.processor_per_audio_s / best.processor_per_audio_s, f"{best.contender}; {PROCESSOR}"
    best = max(ours, key=lambda cell: cell.audio_per_s)
    return best.audio_per_s / theirs.audio_per_s, f"{best.contender}; {CLOCK}"


def first_audio(cells: Sequence[Cell]) -> tuple[float | None, str]:
    """Seconds to the first sound of ours with one client, in the precision that is faster."""
    ours = [cell for cell in cells if cell.contender in OUR_NAMES and cell.load == 1]
    if not ours:
        return None, CLOCK
    if min(cell.processor_share for cell in ours) < _BUSY:
        best = min(ours, key=lambda cell: cell.first_audio_processor_p50)
        return best.first_audio_processor_p50, f"{best.contender}; {PROCESSOR}"
    best = min(ours, key=lambda cell: cell.first_audio_p50)
    return best.first_audio_p50, f"{best.contender}; {CLOCK}"


def of_ours_under_load(cells: Sequence[Cell]) -> list[Cell]:
    """The closed loops of that precision of ours which was measured under the most loads."""
    closed = [cell for cell in cells if cell.mode == "closed"]
    return max(([cell for cell in closed if cell.contender == name] for name in OUR_NAMES), key=len)


def padding(cells: Sequence[Cell]) -> float | None:
    """Padded share of the frames that ours computed."""
    return max((cell.padding_waste for cell in cells if cell.contender in OUR_NAMES), default=None)


def scheduler(cells: Sequence[Cell]) -> float | None:
    """What the engine spends between its forwards, as a share of them."""
    return max((cell.scheduler_share for cell in cells if cell.contender in OUR_NAMES), default=None)


def cliff(cells: Sequence[Cell]) -> float | None:
    """How much faster p95 grows with the clients than their number and the throughput gained explain.

    With c clients, each waits about c times as long as one alone did, less what is gained by serving them together.
    """
    ours = sorted(of_ours_under_load(cells), key=lambda c: c.load)
    if len(ours) < 2 or ours[0].load != 1:
        return None
    alone = ours[0]
    return max((c.latency_p95 / alone.latency_p95) / (c.load * alone.audio_per_s / c.audio_per_s) for c in ours[1:])
