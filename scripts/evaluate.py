"""Judge a checkpoint in figures: `python scripts/evaluate.py checkpoints/mini`.  Needs the extras eval and train.

Speaks held-out sentences of a corpus (scripts/make_corpus.py) in held-out voices, measures, and leaves
evaluation.json, table.md and spectrograms in --out.  Ends with 1 when a figure misses what it must reach.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from megatts3.audio.formats import encode
from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import load_networks
from megatts3.evaluation.cases import Counts
from megatts3.evaluation.clip import ClipMeasures
from megatts3.evaluation.evaluate import Question, evaluate
from megatts3.evaluation.pictures import draw_spectrograms
from megatts3.evaluation.recognise import PocketSphinx
from megatts3.evaluation.report import fill_card, to_json, to_markdown
from megatts3.evaluation.speakers import Column
from megatts3.sampling.params import SamplingParams
from megatts3.text.frontend import TextFrontend

_PICTURED_PER_LANGUAGE = 1


def main() -> int:
    chosen = _arguments()
    torch.set_num_threads(chosen.threads)
    question = Question(
        corpus=chosen.corpus,
        counts=Counts.quick(chosen.quick) if chosen.quick else Counts(),
        params=SamplingParams(steps=chosen.steps, seed=chosen.seed),
        columns=(Column.TEACHER, Column.CODEC) if chosen.teacher_latents else tuple(Column),
    )
    pictured: dict[tuple[str, int], dict[str, Waveform]] = {}
    with tqdm(unit=" clips", mininterval=0.5 if os.isatty(2) else 30) as bar:

        def keep(clip: ClipMeasures, waveform: Waveform | None) -> None:
            bar.update(1)
            if waveform is None:
                tqdm.write(f"sentence {clip.case}, {clip.column}: {clip.failure}", file=sys.stderr)
                return
            if chosen.audio:
                chosen.audio.mkdir(parents=True, exist_ok=True)
                name = f"{clip.case:03d}-{clip.speaker}-{clip.column}.wav"
                (chosen.audio / name).write_bytes(encode(waveform, "wav"))
            key = (clip.language, clip.case)
            known = [case for language, case in pictured if language == clip.language]
            if clip.column is not Column.EXACT and (key in pictured or len(known) < _PICTURED_PER_LANGUAGE):
                pictured.setdefault(key, {})[str(clip.column)] = waveform

        networks = load_networks(chosen.checkpoint, device=chosen.device)
        found = evaluate(networks, TextFrontend(), PocketSphinx(), question, keep=keep)
    chosen.out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for (language, case), waveforms in pictured.items():
        path = (chosen.card.parent / chosen.card.stem if chosen.card else chosen.out) / f"spectrogram-{language}.png"
        speaker = next(clip.speaker for clip in found.clips if clip.case == case)
        draw_spectrograms(path, f"one sentence, voice {speaker}", waveforms)
        pictures.append(path)
    (chosen.out / "evaluation.json").write_text(to_json(found), encoding="utf-8")
    table = to_markdown(found, [path.name for path in pictures] if not chosen.card else [])
    (chosen.out / "table.md").write_text(table, encoding="utf-8")
    if chosen.card:
        links = [str(path.relative_to(chosen.card.parent)) for path in pictures]
        fill_card(chosen.card, to_markdown(found, links))
    print(to_markdown(found))
    for figure in found.missed:
        print(f"missed: {figure.name}", file=sys.stderr)
    return 1 if found.missed and not chosen.report_only else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint directory")
    parser.add_argument("--corpus", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    parser.add_argument(
        "--card", type=Path, help="a model card whose table is filled; pictures go to a folder beside it"
    )
    parser.add_argument("--audio", type=Path, help="keep every clip in this folder")
    parser.add_argument("--quick", type=int, metavar="N", help="about N sentences a language instead of 40 or more")
    parser.add_argument("--steps", type=int, default=SamplingParams().steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch, but for the speed's own lines")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--teacher-latents", action="store_true", help="only the teacher through the WaveVAE")
    parser.add_argument("--report-only", action="store_true", help="end with 0 whatever was missed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
