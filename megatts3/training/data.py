"""A corpus folder as arrays, and batches cut from it.  Reading is by memory map: a corpus need not fit in memory."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from megatts3.training.corpus.build import AUDIO_FILE, LIST_FILE

LATENT_FILE = "latents.f16"
_FULL_SCALE = 32768.0


@dataclass(frozen=True)
class Entry:
    """One utterance.  phones, tones, durations: (S,); durations in frames, their sum a multiple of 8."""

    id: int
    speaker: str
    language: str
    text: str
    phones: NDArray[np.int64]
    tones: NDArray[np.int64]
    durations: NDArray[np.int64]
    offset: int
    samples: int

    @property
    def latent_frames(self) -> int:
        return self.samples // 960


class Corpus:
    """Utterances of one split, with their audio and, once made, their latents."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        lines = (json.loads(line) for line in (folder / LIST_FILE).read_text("utf-8").splitlines())
        self.entries = [
            Entry(
                id=line["id"],
                speaker=line["speaker"],
                language=line["language"],
                text=line["text"],
                phones=np.asarray(line["phones"], np.int64),
                tones=np.asarray(line["tones"], np.int64),
                durations=np.asarray(line["durations"], np.int64),
                offset=line["offset"],
                samples=line["samples"],
            )
            for line in lines
            if line["split"] == split
        ]  # fmt: skip

    @cached_property
    def _audio(self) -> NDArray[np.int16]:
        return np.memmap(self.folder / AUDIO_FILE, np.int16, "r")

    @cached_property
    def _latents(self) -> NDArray[np.float16]:
        return np.memmap(self.folder / LATENT_FILE, np.float16, "r").reshape(-1, 32)

    @cached_property
    def by_speaker(self) -> Mapping[str, Sequence[Entry]]:
        groups: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            groups[entry.speaker].append(entry)
        return groups

    def audio(self, entry: Entry, start: int = 0, length: int | None = None) -> NDArray[np.float32]:
        """(L,) float samples at 24 kHz."""
        stop = entry.samples if length is None else start + length
        return self._audio[entry.offset + start : entry.offset + stop].astype(np.float32) / _FULL_SCALE

    def latent(self, entry: Entry) -> NDArray[np.float32]:
        """(T, 32), as the WaveVAE stage stored them; the file is aligned with the audio file."""
        start = entry.offset // 960
        return self._latents[start : start + entry.latent_frames].astype(np.float32)


def crops(corpus: Corpus, rng: np.random.Generator, *, rows: int, samples: int) -> Tensor:
    """(rows, samples) of random pieces with a random gain, longer utterances oftener."""
    weights = np.array([entry.samples for entry in corpus.entries], np.float64)
    chosen = rng.choice(len(corpus.entries), rows, p=weights / weights.sum())
    pieces = []
    for index in chosen:
        entry = corpus.entries[index]
        start = int(rng.integers(0, max(1, entry.samples - samples)))
        piece = corpus.audio(entry, start, samples)[:samples]
        pieces.append(np.pad(piece, (0, samples - len(piece))) * np.float32(rng.uniform(0.5, 1.1)))
    return torch.from_numpy(np.stack(pieces)).clamp(-1, 1)


def pad(rows: Sequence[NDArray[np.generic]], fill: float = 0) -> Tensor:
    """Stack rows of different length along a new first axis, padded on the right."""
    longest = max(len(row) for row in rows)
    padded = [np.pad(r, [(0, longest - len(r))] + [(0, 0)] * (r.ndim - 1), constant_values=fill) for r in rows]
    return torch.from_numpy(np.stack(padded))


def bucketed(entries: Sequence[Entry], rng: np.random.Generator, *, rows: int, spread: float = 0.25) -> list[Entry]:
    """Rows of similar length: one drawn at random, the rest from within `spread` of its length."""
    pivot = entries[int(rng.integers(len(entries)))]
    near = [e for e in entries if abs(e.latent_frames - pivot.latent_frames) <= spread * pivot.latent_frames]
    return [near[int(i)] for i in rng.integers(0, len(near), rows)]
