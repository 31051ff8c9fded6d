"""Carry out a training recipe: `python scripts/train.py mini` does every stage, `--stage dit` one of them.

Interrupted, it goes on where it stopped.  The corpus is made first by scripts/make_corpus.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from megatts3.training.recipe import STAGES, load_recipe
from megatts3.training.stages import Workshop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", help="a name below configs/train/, or a path")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one; may be given again")
    parser.add_argument("--out", type=Path, help="default: runs/<recipe>")
    parser.add_argument("--corpus", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--checkpoint", type=Path, help="default: checkpoints/<recipe>")
    parser.add_argument("--start-from", type=Path, help="a finished checkpoint to begin from, where its weights fit")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--share", type=float, default=1.0, help="of the recipe's steps and minutes: a trial run")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    path = Path(chosen.recipe) if Path(chosen.recipe).exists() else Path(f"configs/train/{chosen.recipe}.yaml")
    recipe = load_recipe(path).scaled(chosen.share)
    workshop = Workshop(
        recipe=recipe,
        folder=chosen.out or Path("runs") / recipe.name,
        corpus=chosen.corpus,
        checkpoint=chosen.checkpoint or Path("checkpoints") / recipe.name,
        device=torch.device(chosen.device),
        start_from=chosen.start_from,
    )
    for stage in chosen.stage or STAGES:
        workshop.run(stage)


if __name__ == "__main__":
    main()
