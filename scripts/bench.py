"""Measure speed on this machine: the engine, the reference path, and the way upstream works, side by side.

    python scripts/bench.py short        # two ratios, under three minutes; ends with 1 below what they must reach
    python scripts/bench.py full         # everything; fills docs/performance.md
    python scripts/bench.py closed --clients 16 --requests 32 --contenders ours reference
    python scripts/bench.py offered --rate 2.5 --requests 32
    python scripts/bench.py official --contenders ours baseline

Ratios are of one run; absolute figures are this machine's.  Writes --out, a JSON file.  Ends with 1 when a figure
misses what it must reach or a sound was not what had been planned, whichever mode it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from megatts3.benchmark import suites
from megatts3.benchmark.contender import BASELINE, OURS, OURS_BF16, REFERENCE
from megatts3.benchmark.report import fill_section, to_json, to_markdown
from megatts3.benchmark.suites import Findings, Setup
from megatts3.engine.config import EngineConfig

PAGE = Path("docs/performance.md")


def main() -> int:
    chosen = _arguments()
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    given = {
        "device": chosen.device,
        "precision": chosen.precision,
        "max_rows": chosen.rows,
        "threads": chosen.threads,
        "calibrate_s": chosen.calibrate,
    }
    setup = Setup(
        checkpoint=chosen.checkpoint,
        engine=EngineConfig(**{name: value for name, value in given.items() if value is not None}),
        steps=chosen.steps,
        voices=chosen.voices,
        rounds=chosen.rounds,
        seed=chosen.seed,
        contenders=tuple(chosen.contenders or _contenders(chosen)),
    )
    findings = _measure(chosen, setup)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(to_json(findings), encoding="utf-8")
    text = to_markdown(findings)
    if chosen.page is not None:
        from megatts3.benchmark.pictures import draw_latency, draw_occupancy  # noqa: PLC0415  needs the extra eval

        pictures = chosen.page.parent / chosen.page.stem
        draw_latency(pictures / "latency.png", findings.cells["latency against load"])
        draw_occupancy(pictures / "occupancy.png", findings.cells["latency against load"])
        fill_section(chosen.page, "speed", text)
    print(text)
    for line in findings.failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if findings.failed else 0


def _contenders(chosen: argparse.Namespace) -> list[str]:
    """All; the engine in bfloat16 besides, where the processor is good at it and no precision was asked for."""
    both = chosen.precision is None and suites.does_bf16(chosen.device)
    return [OURS, *([OURS_BF16] if both else []), REFERENCE, BASELINE]


def _measure(chosen: argparse.Namespace, setup: Setup) -> Findings:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if chosen.mode == "short":
        return suites.short(setup, say)
    if chosen.mode == "full":
        return suites.full(setup, say, official=not chosen.no_official)
    if chosen.mode == "official":
        return suites.official(setup, say)
    return suites.single(
        setup,
        say,
        clients=chosen.clients,
        requests_count=chosen.requests,
        per_second=chosen.rate if chosen.mode == "offered" else None,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["short", "full", "closed", "offered", "official"])
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/mini"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", help="of the engine's DiT; its own choice where not given")
    parser.add_argument("--rows", type=int, help="rows a step of the engine; its own choice where not given")
    parser.add_argument(
        "--calibrate",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds the engine may measure its steps at start; 0: none",
    )
    parser.add_argument("--threads", type=int, help="CPU threads of tensor work, the same for all")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--voices", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2, help="the contenders take turns inside each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--contenders", nargs="+", choices=[OURS, OURS_BF16, REFERENCE, BASELINE], help="default: all")
    parser.add_argument("--clients", type=int, default=16, help="of mode closed")
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second, of mode offered")
    parser.add_argument("--requests", type=int, default=32, help="of modes closed and offered")
    parser.add_argument("--no-official", action="store_true", help="leave the official size out of mode full")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--page", type=Path, help="the page whose tables and pictures mode full makes again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
