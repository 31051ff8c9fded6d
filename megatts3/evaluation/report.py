"""An Evaluation as JSON, and as the Markdown table of a model card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from megatts3.evaluation.figures import Evaluation, Figure
from megatts3.evaluation.speakers import Column

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_HEADINGS = {
    Column.PRODUCT: "{name}",
    Column.TEACHER: "teacher",
    Column.CODEC: "teacher through the WaveVAE",
    Column.EXACT: "{name}, prompt's phones given",
}


def to_json(evaluation: Evaluation) -> str:
    """Figures first, then every clip."""
    figures = [
        {
            "name": figure.name,
            "unit": figure.unit,
            "values": {str(column): value for column, value in figure.values.items()},
            "judged": figure.judged,
            "must": figure.target.must if figure.target else None,
            "aim": figure.target.aim if figure.target else None,
            "must_reached": figure.must_reached,
            "aim_reached": figure.aim_reached,
        }
        for figure in evaluation.figures
    ]
    whole = {
        "checkpoint": evaluation.checkpoint,
        "revision": evaluation.revision,
        "settings": dict(evaluation.settings),
        "figures": figures,
        "speeds": [dataclasses.asdict(speed) for speed in evaluation.speeds],
        "durations": [dataclasses.asdict(plan) for plan in evaluation.durations],
        "clips": [dataclasses.asdict(clip) for clip in evaluation.clips],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def to_markdown(evaluation: Evaluation, pictures: Sequence[str] = ()) -> str:
    """The table, how it came about, and pictures (paths as the document links them)."""
    columns = [c for c in _HEADINGS if any(c in figure.values for figure in evaluation.figures)]
    headings = [_HEADINGS[column].format(name=evaluation.checkpoint) for column in columns]
    lines = [
        _row(["measure", "must", "aim", *headings, "verdict"]),
        _row(["---"] + ["---:"] * (len(columns) + 2) + ["---"]),
        *(_row([f.name, *_bounds(f), *(_value(f, c) for c in columns), _verdict(f)]) for f in evaluation.figures),
        "",
        "Measured over "
        + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in evaluation.settings.items())
        + f"; revision `{evaluation.revision}`.",
    ]
    if evaluation.speeds:
        load = max(speed.load for speed in evaluation.speeds)
        lines[-1] += f"  Speed was measured while the machine had a load of {load:.1f}."
    for picture in pictures:
        lines += ["", f"![{Path(picture).stem}]({picture})"]
    return "\n".join(lines) + "\n"


def fill_card(card: Path, table: str) -> None:
    """Put the table between the card's two marks; ValueError where they are missing."""
    text = card.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{card} lacks {BEGIN} and {END}")
    card.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bounds(figure: Figure) -> tuple[str, str]:
    if figure.target is None:
        return "", ""
    sign = "≥" if figure.target.is_floor else "≤"
    return f"{sign} {_shown(figure.target.must, figure.unit)}", f"{sign} {_shown(figure.target.aim, figure.unit)}"


def _value(figure: Figure, column: Column) -> str:
    return _shown(figure.values[column], figure.unit) if column in figure.values else ""


def _shown(value: float, unit: str) -> str:
    if unit == "%":
        return f"{100 * value:.3g} %" if abs(value) < 9.995 else f"{100 * value:.0f} %"
    if unit == "ms":
        return f"{value:.1f} ms"
    return f"{value:.2f}" + (" x" if unit == "x" else "")


def _verdict(figure: Figure) -> str:
    if figure.must_reached is None:
        return "not measured" if figure.target else ""
    if not figure.must_reached:
        return "**missed**"
    return "aim reached" if figure.aim_reached else "must reached"
