"""The duration LM's training: each phone's frames, given the phones and the durations before it.

A row is a prompt and a continuation, encoded apart as at inference (SPEC 5.1).  Most rows cut one utterance, so that
the continuation keeps the prompt's pace; the others join two of one speaker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.models.duration_lm import DurationLM
from megatts3.text.phones import NO_TONE, SILENCE
from megatts3.training.data import Corpus, Entry, bucketed, pad
from megatts3.training.loop import Stage, StepContext

_LONGEST_TOKEN = 128
_CUT_SHARE = (0.2, 0.7)
_LEADING_SILENCE_FRAMES = 8


@dataclass(frozen=True)
class DurationRecipe:
    rows: int = 32
    cut_share: float = 0.7
    token_noise: float = 0.1  # of the known durations fed back, so that the model does not trust them blindly


Row = tuple[np.ndarray, np.ndarray, np.ndarray]  # phones, tones, tokens


class DurationStage(Stage):
    """Smooth absolute error of log durations: the ear judges ratios."""

    def __init__(self, model: DurationLM, corpus: Corpus, recipe: DurationRecipe, device: torch.device) -> None:
        self.module, self._corpus, self._recipe, self._device = model, corpus, recipe, device
        self._lm = model

    def losses(self, context: StepContext) -> Mapping[str, Tensor]:
        rng = context.rng
        entries = bucketed(self._corpus.entries, rng, rows=self._recipe.rows)
        parts = [self._cut(e, rng) if rng.random() < self._recipe.cut_share else self._pair(e, rng) for e in entries]
        text = self._join([self._encode([part[i] for part in parts]) for i in (0, 1)], parts)
        known = [np.concatenate([part[0][2], part[1][2]]) for part in parts]
        noisy = [self._disturb(row, rng) for row in known]
        inputs = pad([np.concatenate([[self._lm.begin_token], row[:-1]]) for row in noisy]).to(self._device)
        target = pad(known).to(self._device)
        made = self._lm(inputs, text)[..., 0].float().clamp(min=1e-3)
        weight = target.ne(0).float()
        error = functional.smooth_l1_loss(made.log(), target.clamp(min=1).log(), reduction="none", beta=0.05)
        frames = ((made - target).abs() * weight).sum() / weight.sum()
        return {"total": (error * weight).sum() / weight.sum(), "frames_off": frames}

    def _encode(self, rows: list[Row]) -> list[Tensor]:
        phones, tones = (pad([row[i] for row in rows]).to(self._device) for i in (0, 1))
        encoded = self._lm.encode_text(phones, tones)
        return [encoded[i, : len(row[0])] for i, row in enumerate(rows)]

    @staticmethod
    def _join(encoded: list[list[Tensor]], parts: list[tuple[Row, Row]]) -> Tensor:
        rows = [torch.cat([encoded[0][i], encoded[1][i]]) for i in range(len(parts))]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _disturb(self, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        factor = np.exp(rng.normal(0, self._recipe.token_noise, len(tokens)))
        disturbed: np.ndarray = np.clip(np.rint(tokens * factor), 1, _LONGEST_TOKEN).astype(np.int64)
        return disturbed

    def _cut(self, entry: Entry, rng: np.random.Generator) -> tuple[Row, Row]:
        at = max(2, int(len(entry.phones) * rng.uniform(*_CUT_SHARE)))
        tokens = np.minimum(entry.durations + 1, _LONGEST_TOKEN)
        head = (entry.phones[:at], entry.tones[:at], tokens[:at])
        lead = (SILENCE, NO_TONE, _LEADING_SILENCE_FRAMES + 1)
        rest = tuple(
            np.concatenate([[first], part[at:]])
            for first, part in zip(lead, (entry.phones, entry.tones, tokens), strict=True)
        )
        return head, (rest[0], rest[1], rest[2])

    def _pair(self, entry: Entry, rng: np.random.Generator) -> tuple[Row, Row]:
        siblings = self._corpus.by_speaker[entry.speaker]
        prompt = siblings[int(rng.integers(len(siblings)))]
        first, second = ((e.phones, e.tones, np.minimum(e.durations + 1, _LONGEST_TOKEN)) for e in (prompt, entry))
        return first, second
