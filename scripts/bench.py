"""Measure speed on this machine: `make bench`.  Ratios side by side in one run; absolute figures are this machine's.

The engine with 1, 2, 4 … rows a step against the reference pipeline, on the checkpoint in use.  Writes
build/bench.json and prints a Markdown table with the conditions.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from megatts3.api import Engine, EngineConfig, SamplingParams, Synthesizer, VoicePrompt
from megatts3.api import SynthesisRequest as Request

TEXTS = (
    "The old doctor opened the window, and a cold wind followed the rain.",
    "今天天气很好，我们一起去公园看看花。",
    "She remembered every letter that her brother sent from the island.",
    "请问，去火车站应该坐几路公共汽车？",
)
ROWS = (1, 2, 4, 8)


def reference_rtf(speaker: Synthesizer, voice: VoicePrompt, params: SamplingParams) -> float:
    """Seconds of work per second of speech, one text after another, one row."""
    started = time.perf_counter()
    spoken_s = sum(speaker.say(text, voice, params).duration_s for text in TEXTS)
    return (time.perf_counter() - started) / spoken_s


def engine_rtf(engine: Engine, voice: VoicePrompt, params: SamplingParams, requests: int) -> float:
    """The same for `requests` texts submitted at once."""
    started = time.perf_counter()
    open_ = [engine.submit(Request(f"bench-{i}", TEXTS[i % len(TEXTS)], voice, params)) for i in range(requests)]
    spoken_s = sum(segment.waveform.duration_s for submission in open_ for segment in submission)
    return (time.perf_counter() - started) / spoken_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/mini"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the variants take turns inside each")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    chosen = parser.parse_args()
    params = SamplingParams(steps=chosen.steps)
    speaker = Synthesizer.load(chosen.checkpoint, device=chosen.device)
    clip = next((chosen.checkpoint / "voices").glob("default.*"))
    voice = speaker.voice(clip)
    variants: dict[str, Callable[[], float]] = {"reference": partial(reference_rtf, speaker, voice, params)}
    engines = []
    for rows in ROWS:
        engine = Engine.load(chosen.checkpoint, EngineConfig(device=chosen.device, max_rows=rows))
        engine.start()
        engine.warm_up()
        engines.append(engine)
        variants[f"engine, {rows} rows"] = partial(engine_rtf, engine, voice, params, max(rows, len(TEXTS)))
    rounds = [{name: measure() for name, measure in variants.items()} for _ in range(chosen.repeat)]
    for engine in engines:
        engine.stop()
    report(rounds, chosen)


def report(rounds: Sequence[dict[str, float]], chosen: argparse.Namespace) -> None:
    conditions = {
        "device": chosen.device, "steps": chosen.steps, "checkpoint": str(chosen.checkpoint),
        "torch": torch.__version__, "threads": torch.get_num_threads(), "machine": platform.machine(),
    }  # fmt: skip
    print(", ".join(f"{key} {value}" for key, value in conditions.items()))
    print("\n| variant | RTF (median) | against reference |\n|---|---|---|")
    for name in rounds[0]:
        rtf = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r["reference"] / r[name] for r in rounds)
        print(f"| {name} | {rtf:.3f} | {ratio:.2f}x |")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"conditions": conditions, "rtf": rounds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
