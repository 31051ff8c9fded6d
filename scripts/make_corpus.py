"""Make the training corpus: `python scripts/make_corpus.py --out runs/corpus`.  Needs flite and espeak-ng."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pocketsphinx
from tqdm import tqdm

from megatts3.training.corpus.build import CorpusConfig, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=7.0, help="3/7 flite, 1/7 espeak English, 3/7 Mandarin")
    arguments = parser.parse_args()
    share = arguments.hours / 7
    config = dataclasses.replace(
        CorpusConfig(), flite_hours=3 * share, espeak_english_hours=share, mandarin_hours=3 * share
    )
    dictionary = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    words = [line.split(" ", 1)[0] for line in dictionary.read_text("utf-8").splitlines()]
    with tqdm(total=arguments.hours, unit="h", bar_format="{l_bar}{bar}| {n:.2f}/{total:.1f} h") as bar:
        for hours in build(arguments.out, config, english_words=words):
            bar.update(hours - bar.n)


if __name__ == "__main__":
    main()
