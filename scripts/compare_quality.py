"""What the named qualities cost and give: `make quality`.  Needs the extras eval and train, and a corpus.

First the distances that few steps leave, by grid and solver, which is what the grids were chosen by; then each
quality judged as scripts/evaluate.py judges a checkpoint.  Fills the sections `steps` and `quality` of --page.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch

from contract.schemas import LEVELS
from megatts3.benchmark import texts
from megatts3.benchmark.few_steps import distance_table, measure_distances
from megatts3.benchmark.report import fill_section
from megatts3.benchmark.request import requests
from megatts3.benchmark.subject import Subject, installed
from megatts3.evaluation import figures
from megatts3.evaluation.cases import Counts
from megatts3.evaluation.evaluate import Question, evaluate
from megatts3.evaluation.figures import Evaluation
from megatts3.evaluation.recognise import PocketSphinx
from megatts3.evaluation.speakers import Column
from megatts3.sampling.params import SamplingParams

STEPS = (8, 16, 32)
_MEASURES = (
    ("English word errors", figures.word_error),
    ("phone errors", figures.phone_error),
    ("tones right", figures.tones_right),
    ("right voice", figures.right_voice),
    ("F0 off", figures.f0_error),
)


def main() -> None:
    chosen = _arguments()
    torch.set_num_threads(chosen.threads)
    subject = installed(chosen.checkpoint, chosen.device, max(1, chosen.segments))
    found: dict[str, object] = {}
    if chosen.segments:
        _distances(subject, chosen, found)
    if not chosen.no_evaluation:
        _levels(subject, chosen, found)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _distances(subject: Subject, chosen: argparse.Namespace, found: dict[str, object]) -> None:
    """Short texts, a voice each."""
    said = list(islice(texts.mixed_texts(chosen.seed, (1,)), chosen.segments))
    measured = measure_distances(subject, requests(subject, said, subject.voices, SamplingParams()), STEPS)
    found["distances"] = asdict(measured)
    table = distance_table(measured) + f"\n\nRevision `{subject.networks.revision}`, {measured.segments} segments.\n"
    print(table)
    if chosen.page:
        fill_section(chosen.page, "steps", table)


def _levels(subject: Subject, chosen: argparse.Namespace, found: dict[str, object]) -> None:
    counts = Counts.quick(chosen.quick) if chosen.quick else Counts()
    recogniser = PocketSphinx()
    lines = [
        "| quality | grid | steps | " + " | ".join(name for name, _ in _MEASURES) + " | RTF, 1 thread |",
        "| --- | --- |" + " ---: |" * (len(_MEASURES) + 2),
    ]
    judged: Evaluation | None = None
    for name, level in LEVELS.items():
        params = SamplingParams(steps=level.time_step, grid=level.grid)
        question = Question(chosen.corpus, counts, params, columns=(Column.PRODUCT,), speed_threads=(1,))
        judged = evaluate(subject.networks, subject.frontend, recogniser, question, keep=lambda *_: None)
        values = {measure: of(judged.clips) for measure, of in _MEASURES}
        found[name] = {**level._asdict(), **values, "rtf": judged.speeds[0].rtf}
        shown = " | ".join("" if value is None else f"{100 * value:.1f} %" for value in values.values())
        lines.append(f"| {name} | {level.grid} | {level.time_step} | {shown} | {judged.speeds[0].rtf:.2f} |")
    assert judged is not None
    load = max(speed.load for speed in judged.speeds)
    lines += [
        "",
        f"{len(judged.clips)} held-out sentences; revision `{judged.revision}`; load of the machine {load:.1f}.",
    ]
    print("\n".join(lines))
    if chosen.page:
        fill_section(chosen.page, "quality", "\n".join(lines) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=Path("checkpoints/mini"))
    parser.add_argument("--corpus", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--segments", type=int, default=4, help="for the distances; 0 leaves them out")
    parser.add_argument("--quick", type=int, metavar="N", help="about N sentences a language")
    parser.add_argument("--no-evaluation", action="store_true", help="the distances alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--page", type=Path, help="the page whose sections are filled")
    parser.add_argument("--out", type=Path, default=Path("build/quality.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
