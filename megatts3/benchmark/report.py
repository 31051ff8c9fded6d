"""Findings as JSON, and as the tables of docs/performance.md."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from megatts3.benchmark.figures import Cell
    from megatts3.benchmark.judged import Judged
    from megatts3.benchmark.suites import Findings

_COLUMNS = (
    "contender", "load", "requests", "sound, s", "s of sound a second", "RTF", "processor s per s",
    "share of the processor", "p50", "p95", "p99",
    "first audio p50", "p95", "rows a step", "padding", "steps a second", "share of the ceiling",
    "machine", "scheduler",
)  # fmt: skip


def to_json(findings: Findings) -> str:
    """Everything, for programs."""
    whole = {
        "conditions": findings.conditions,
        "judged": [
            {**dataclasses.asdict(j), "must_reached": j.must_reached, "aim_reached": j.aim_reached}
            for j in findings.judged
        ],
        "cells": {name: [dataclasses.asdict(c) for c in cells] for name, cells in findings.cells.items()},
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def to_markdown(findings: Findings) -> str:
    """The judged figures, then a table a section, then the conditions."""
    parts = [judged_table(findings.judged)]
    parts += [f"#### {name.capitalize()}\n\n{cell_table(cells)}" for name, cells in findings.cells.items()]
    parts.append("Measured with " + ", ".join(f"{name} {value}" for name, value in findings.conditions.items()) + ".")
    wrong = [f"- {c.contender}: {w}" for cells in findings.cells.values() for c in cells for w in c.wrong]
    if wrong:
        parts.append("**Sound that was not what was planned:**\n\n" + "\n".join(wrong))
    return "\n\n".join(parts) + "\n"


def judged_table(judged: Sequence[Judged]) -> str:
    lines = [_row("figure", "must", "aim", "found", "by", "verdict"), _row("---", "---:", "---:", "---:", "---", "---")]
    for j in judged:
        sign = "≥" if j.bound.is_floor else "≤"
        bounds = (f"{sign} {_shown(bound, j.unit)}" for bound in (j.bound.must, j.bound.aim))
        value = ("", "") if j.value is None else (_shown(j.value, j.unit), j.basis)
        lines.append(_row(j.name, *bounds, *value, _verdict(j)))
    return "\n".join(lines)


def cell_table(cells: Sequence[Cell]) -> str:
    lines = [_row(*_COLUMNS), _row("---", *["---:"] * (len(_COLUMNS) - 1))]
    for c in cells:
        load = f"{c.load:g} clients" if c.mode == "closed" else f"{c.load:.2f} a second"
        seconds = (c.latency_p50, c.latency_p95, c.latency_p99, c.first_audio_p50, c.first_audio_p95)
        lines.append(
            _row(
                c.contender,
                load,
                str(c.requests),
                f"{c.audio_s:.0f}",
                f"{c.audio_per_s:.2f}",
                f"{c.rtf:.3f}",
                f"{c.processor_per_audio_s:.3f}",
                _shown(c.processor_share, "%"),
                *(f"{s:.2f} s" for s in seconds),
                f"{c.rows_per_step:.2f}",
                _shown(c.padding_waste, "%"),
                f"{c.steps_per_s:.1f}",
                _shown(c.ceiling_share, "%"),
                _shown(c.machine_share, "%"),
                _shown(c.scheduler_share, "%"),
            )
        )
    return "\n".join(lines)


def fill_section(page: Path, name: str, text: str) -> None:
    """Put text between two marks of a page; ValueError where they are missing."""
    begin, end = f"<!-- measured {name}: begin -->", f"<!-- measured {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} lacks {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.1f} %" if unit == "%" else f"{value:.2f} {unit}"


def _verdict(found: Judged) -> str:
    if found.must_reached is None:
        return "not measured"
    if not found.must_reached:
        return "**missed**"
    return "aim reached" if found.aim_reached else "must reached"
