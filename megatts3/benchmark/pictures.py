"""Latency against load, and how full the batches are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from megatts3.benchmark.judged import of_ours_under_load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from megatts3.benchmark.figures import Cell


def draw_latency(path: Path, cells: Sequence[Cell]) -> None:
    """Latency and time to first audio of ours over the clients, and the throughput; the others as points."""
    ours = of_ours_under_load(cells)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    waits, throughput = figure.subplots(1, 2)
    clients = [c.load for c in ours]
    waits.plot(clients, [c.latency_p95 for c in ours], "o-", label="p95")
    waits.plot(clients, [c.latency_p50 for c in ours], "o-", label="p50")
    waits.plot(clients, [c.first_audio_p50 for c in ours], "o--", label="first audio, p50")
    waits.set(xscale="log", yscale="log", xlabel="clients", ylabel="seconds", title="latency")
    throughput.plot(clients, [c.audio_per_s for c in ours], "o-", label=ours[0].contender)
    for other in (c for c in cells if c.contender != ours[0].contender):
        throughput.plot([other.load], [other.audio_per_s], "s", label=other.contender)
    throughput.set(xscale="log", xlabel="clients", ylabel="seconds of sound a second", title="throughput")
    throughput.set_ylim(bottom=0.0)
    for axes in (waits, throughput):
        axes.set_xticks(clients, [f"{c:g}" for c in clients])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    _save(figure, path)


def draw_occupancy(path: Path, cells: Sequence[Cell]) -> None:
    """Rows a step and padding over the clients."""
    ours = of_ours_under_load(cells)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    rows, padding = figure.subplots(1, 2)
    names = [f"{c.load:g}" for c in ours]
    rows.bar(names, [c.rows_per_step for c in ours])
    rows.set(xlabel="clients", ylabel="rows in a forward", title="batch occupancy")
    padding.bar(names, [100 * c.padding_waste for c in ours], color="tab:orange")
    padding.set(xlabel="clients", ylabel="% of latent frames", title="padding")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, metadata={"Software": None})
