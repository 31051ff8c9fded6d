"""The DiT's training: flow matching on latents, with part of each row given as the prompt.

Half of the batches cut one utterance in two; the other half join two utterances of one speaker, in any two
languages that the speaker has.  Conditioning is dropped as guidance will ask for it (SPEC 6.1): the voice alone,
or voice and text together; the prompt mask stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from megatts3.models.diffusion_transformer import (
    UNCONDITIONAL_PHONE,
    UNCONDITIONAL_TONE,
    DiffusionTransformer,
)
from megatts3.training import losses
from megatts3.training.data import Corpus, Entry, bucketed, pad
from megatts3.training.loop import Stage, StepContext


@dataclass(frozen=True)
class DiTRecipe:
    """`latent_budget` latents make a batch, whatever its rows."""

    latent_budget: int = 3000
    pair_share: float = 0.5
    drop_voice: float = 0.15
    drop_all: float = 0.1
    prompt_share: tuple[float, float] = (0.15, 0.6)  # of a row, when one utterance is cut


class DiTStage(Stage):
    """Velocity of the straight path from noise to latents."""

    def __init__(self, model: DiffusionTransformer, corpus: Corpus, recipe: DiTRecipe, device: torch.device) -> None:
        self.module, self._corpus, self._recipe, self._device = model, corpus, recipe, device
        self._dit = model

    def losses(self, context: StepContext) -> Mapping[str, Tensor]:
        rows = self._rows(context.rng)
        phones, tones, frame_to_phone, latent = (self._stack(rows, key) for key in range(4))
        latent = latent.float()
        lengths = torch.tensor([len(row[3]) for row in rows], device=self._device)
        prompts = torch.tensor([int(row[4]) for row in rows], device=self._device)
        positions = torch.arange(latent.shape[1], device=self._device)[None]
        key_mask = positions < lengths[:, None]
        prompt_mask = (positions < prompts[:, None]).float()[..., None]
        chance = torch.from_numpy(context.rng.random(len(rows))).to(self._device)
        no_voice = chance < self._recipe.drop_voice + self._recipe.drop_all
        no_text = (chance < self._recipe.drop_all)[:, None]
        present = phones.ne(0)
        phones = torch.where(no_text & present, UNCONDITIONAL_PHONE, phones)
        tones = torch.where(no_text & present, UNCONDITIONAL_TONE, tones)
        given = latent * prompt_mask * ~no_voice[:, None, None]
        t = torch.sigmoid(torch.randn(len(rows), device=self._device))
        noise = torch.randn_like(latent)
        x = t[:, None, None] * latent + (1 - t[:, None, None]) * noise
        velocity = self._dit(x, t, phones, tones, frame_to_phone, given, prompt_mask, key_mask)
        weight = (key_mask & (positions >= prompts[:, None])).float()
        return {"total": losses.flow_matching(velocity.float(), latent, noise, weight)}

    def _stack(self, rows: Sequence[tuple[np.ndarray, ...]], key: int) -> Tensor:
        return pad([row[key] for row in rows]).to(self._device)

    def _rows(self, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
        """Each: phones (S,), tones (S,), frame-to-phone (F,), latent (T, C), prompt latents ()."""
        paired = rng.random() < self._recipe.pair_share
        typical = bucketed(self._corpus.entries, rng, rows=1)[0].latent_frames
        rows = max(2, self._recipe.latent_budget // (typical * (2 if paired else 1)))
        entries = bucketed(self._corpus.entries, rng, rows=rows)
        return [self._pair(e, rng) if paired else self._cut(e, rng) for e in entries]

    def _cut(self, entry: Entry, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        low, high = self._recipe.prompt_share
        latent = self._corpus.latent(entry)
        prompt = np.asarray(int(len(latent) * rng.uniform(low, high)))
        return entry.phones, entry.tones, spread(entry.durations), latent, prompt

    def _pair(self, entry: Entry, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        siblings = self._corpus.by_speaker[entry.speaker]
        prompt = siblings[int(rng.integers(len(siblings)))]
        joined = (np.concatenate([getattr(e, key) for e in (prompt, entry)]) for key in ("phones", "tones"))
        durations = np.concatenate([prompt.durations, entry.durations])
        latent = np.concatenate([self._corpus.latent(prompt), self._corpus.latent(entry)])
        return *joined, spread(durations), latent, np.asarray(prompt.latent_frames)


def spread(durations: np.ndarray) -> np.ndarray:
    """(S,) frames per phone → (F,) 1-based phone of each frame."""
    return np.repeat(np.arange(1, len(durations) + 1), durations)
