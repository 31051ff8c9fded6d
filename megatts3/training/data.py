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

from megatts3.audio.pitch import pitch
from megatts3.rates import SAMPLE_RATE, SAMPLES_PER_FRAME
from megatts3.training.corpus.build import AUDIO_FILE, LIST_FILE

LATENT_FILE = "latents.f16"
PITCH_FILE = "pitch.f16"
_FULL_SCALE = 32768.0
_PITCH_MARGIN_SAMPLES = 580  # a pitch frame looks 58 ms ahead: this puts its middle on the duration frame's


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
    def _pitch(self) -> NDArray[np.float16]:
        return np.memmap(self.folder / PITCH_FILE, np.float16, "r")

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

    def f0(self, entry: Entry) -> NDArray[np.float32]:
        """(F,) Hz a duration frame, 0 where there is no voice; write_pitch has measured it."""
        start = entry.offset // SAMPLES_PER_FRAME
        return self._pitch[start : start + entry.samples // SAMPLES_PER_FRAME].astype(np.float32)

    def latent(self, entry: Entry) -> NDArray[np.float32]:
        """(T, 32), as the WaveVAE stage stored them; the file is aligned with the audio file."""
        start = entry.offset // 960
        return self._latents[start : start + entry.latent_frames].astype(np.float32)


@dataclass(frozen=True)
class Crops:
    """samples: (B, L) random pieces with a random gain; f0_hz: (B, L / 240), 0 where there is no voice."""

    samples: Tensor
    f0_hz: Tensor


def crops(corpus: Corpus, rng: np.random.Generator, *, rows: int, samples: int) -> Crops:
    """Pieces that begin with a duration frame, longer utterances oftener.  samples: a multiple of 240."""
    weights = np.array([entry.samples for entry in corpus.entries], np.float64)
    chosen = rng.choice(len(corpus.entries), rows, p=weights / weights.sum())
    pieces, tracks = [], []
    for index in chosen:
        entry = corpus.entries[index]
        start = int(rng.integers(0, max(1, (entry.samples - samples) // SAMPLES_PER_FRAME)))
        piece = corpus.audio(entry, start * SAMPLES_PER_FRAME, samples)[:samples]
        track = corpus.f0(entry)[start : start + samples // SAMPLES_PER_FRAME]
        pieces.append(np.pad(piece, (0, samples - len(piece))) * np.float32(rng.uniform(0.5, 1.1)))
        tracks.append(np.pad(track, (0, samples // SAMPLES_PER_FRAME - len(track))))
    return Crops(torch.from_numpy(np.stack(pieces)).clamp(-1, 1), torch.from_numpy(np.stack(tracks)))


def write_pitch(corpora: Sequence[Corpus], folder: Path) -> None:
    """Measure every utterance's F0 into one file, each at its audio offset / 240.  Done before: returns at once."""
    if (folder / PITCH_FILE).exists():
        return
    total = max(e.offset + e.samples for corpus in corpora for e in corpus.entries)
    part = folder / f"{PITCH_FILE}.part"
    table = np.memmap(part, np.float16, "w+", shape=(total // SAMPLES_PER_FRAME,))
    for corpus in corpora:
        for entry in corpus.entries:
            frames = entry.samples // SAMPLES_PER_FRAME
            padded = np.pad(corpus.audio(entry), _PITCH_MARGIN_SAMPLES)
            track = pitch(padded, SAMPLE_RATE).hz[:frames]
            start = entry.offset // SAMPLES_PER_FRAME
            table[start : start + len(track)] = track.astype(np.float16)
    table.flush()
    part.replace(folder / PITCH_FILE)


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
