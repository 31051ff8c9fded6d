"""The aligner's training: log-mel → phone codes and end times, token by token.

Six things make it learn in minutes rather than days, and leave the architecture alone: time tokens start as the
audio positions they stand for; the decoder's first looks at the audio go to those positions; a throw-away head names
the phone of every encoder frame (the teachers' times are exact); clips are joined so that no time is rare; a time that
is nearly right is nearly right, not as wrong as any other; and what is fed back is disturbed, so that one slip at
inference does not bring the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.models.aligner import BEGIN_TOKEN, END_TOKEN, FIRST_TIME_TOKEN, Aligner
from megatts3.models.layers.log_mel import log_mel
from megatts3.models.layers.whisper_blocks import Attention, DecoderBlock, EncoderBlock
from megatts3.rates import ALIGNER_SAMPLE_RATE, FRAMES_MULTIPLE, SAMPLE_RATE
from megatts3.text.phones import LAST_MERGED_CODE, encode_codes
from megatts3.training import losses
from megatts3.training.data import Corpus, Entry, bucketed, pad
from megatts3.training.loop import Stage, StepContext

_IGNORE = -100
_LOOK_AHEAD = (0.5, 2.0, 4.0, 7.0)  # audio positions of 20 ms, one a head
_LOOK_GAIN = 2.2
_NEIGHBOURS = (1.5, 2.5, 4.0)  # audio positions to the nearer neighbours, a block
_NEIGHBOUR_GAIN = 3.5
_TIME_REACH = 4  # frames on a side that a target may spread over
_TIME_SCALE = 0.25  # of a time token's first embedding against the audio position's own size


@dataclass(frozen=True)
class AlignerRecipe:
    """`frame_budget` frames of 10 ms make a batch."""

    frame_budget: int = 6000
    frame_weight: float = 0.5
    joined: int = 3  # clips joined into one, at most
    tail_frames: int = 80  # silence behind a clip, at most
    noise: float = 0.003
    time_spread_frames: float = 1.0  # deviation of the target around an end time
    fed_time_frames: float = 1.0  # deviation of the end times fed back
    fed_wrong_phones: float = 0.03  # share of the phones fed back that are another


class AlignerStage(Stage):
    """Next-token cross-entropy, and the phone of every encoder frame."""

    def __init__(self, model: Aligner, corpus: Corpus, recipe: AlignerRecipe, device: torch.device) -> None:
        self.aligner, self._corpus, self._recipe, self._device = model, corpus, recipe, device
        self._frame_head = nn.Linear(model.config.n_state, LAST_MERGED_CODE + 1)
        self.module = nn.ModuleDict({"aligner": model, "frames": self._frame_head})

    def losses(self, context: StepContext) -> Mapping[str, Tensor]:
        clips = self._clips(context.rng)
        mel = pad([mel.T for mel, _, _ in clips]).transpose(1, 2).to(self._device)
        tokens = pad([tokens for _, tokens, _ in clips], END_TOKEN).to(self._device)
        targets = pad([tokens[1:] for _, tokens, _ in clips], _IGNORE).to(self._device)
        codes = pad([codes for _, _, codes in clips], _IGNORE).to(self._device)
        lengths = torch.tensor([mel.shape[1] // 2 for mel, _, _ in clips], device=self._device)
        key_mask = torch.arange(mel.shape[2] // 2, device=self._device)[None] < lengths[:, None]
        audio = self.aligner.encoder(mel, key_mask)
        fed = self._disturbed(tokens[:, :-1], context.rng)
        logits, _ = self.aligner.decoder(fed, self.aligner.decoder.start(audio, key_mask))
        with torch.autocast(self._device.type, enabled=False):
            spoken = self._token_loss(logits.float(), targets)
        frames = losses.token_cross_entropy(self._frame_head(audio), codes, _IGNORE)
        with torch.no_grad():
            said = logits.argmax(-1)
            is_phone = (targets != _IGNORE) & (targets < FIRST_TIME_TOKEN)
            right = (said == targets)[is_phone].float().mean()
            frames_off = (said - targets).abs()[targets >= FIRST_TIME_TOKEN].float().median()
        return {
            "total": spoken + self._recipe.frame_weight * frames,
            "tokens": spoken,
            "frames": frames,
            "right": right,
            "frames_off": frames_off,
        }

    def _disturbed(self, tokens: Tensor, rng: np.random.Generator) -> Tensor:
        """(B, n) as the decoder may have said it: end times a little off, some phones wrong."""
        is_time = tokens >= FIRST_TIME_TOKEN
        is_phone = (tokens < BEGIN_TOKEN) & ~is_time
        off = np.rint(rng.normal(0, self._recipe.fed_time_frames, tokens.shape)).astype(np.int64)
        off *= rng.random((len(tokens), 1)) < 0.7  # some rows stay as they are
        moved = (tokens + torch.from_numpy(off).to(tokens.device)).clamp(
            FIRST_TIME_TOKEN, self.aligner.config.n_vocab - 1
        )
        wrong = torch.from_numpy(rng.random(tokens.shape) < self._recipe.fed_wrong_phones).to(tokens.device)
        shuffled = tokens[:, torch.from_numpy(rng.permutation(tokens.shape[1])).to(tokens.device)]
        others = torch.where(shuffled < BEGIN_TOKEN, shuffled, tokens)
        return torch.where(is_time, moved, torch.where(is_phone & wrong, others, tokens))

    def _token_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; an end time's target is a narrow bell over the times around it."""
        log_chance = functional.log_softmax(logits, dim=-1)
        reach = torch.arange(-_TIME_REACH, _TIME_REACH + 1, device=logits.device)
        bell = torch.softmax(-0.5 * (reach / self._recipe.time_spread_frames) ** 2, dim=0)
        is_time = targets >= FIRST_TIME_TOKEN
        near = (targets.clamp(min=0)[..., None] + reach).clamp(FIRST_TIME_TOKEN, logits.shape[-1] - 1)
        spread = -(log_chance.gather(-1, near) * bell).sum(-1)
        exact = -log_chance.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
        return torch.where(is_time, spread, exact)[targets != _IGNORE].mean()

    def _clips(self, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        joined = int(rng.integers(1, self._recipe.joined + 1))
        typical = bucketed(self._corpus.entries, rng, rows=1)[0].latent_frames * 4 * joined
        rows = max(2, self._recipe.frame_budget // typical)
        groups = [bucketed(self._corpus.entries, rng, rows=rows) for _ in range(joined)]
        return [self._clip(list(parts), rng) for parts in zip(*groups, strict=True)]

    def _clip(self, parts: list[Entry], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One example: log-mel (80, P), tokens (n,), the code of each encoder frame (P / 2,)."""
        tail = int(rng.integers(0, self._recipe.tail_frames // FRAMES_MULTIPLE + 1)) * FRAMES_MULTIPLE
        samples = np.concatenate([self._corpus.audio(part) for part in parts])
        samples = np.pad(samples, (0, tail * SAMPLE_RATE // 100)) * np.float32(rng.uniform(0.3, 1.2))
        level = self._recipe.noise * rng.random() ** 3
        samples = samples + rng.normal(0, level + 1e-6, len(samples)).astype(np.float32)
        with torch.autocast(self._device.type, enabled=False):
            mel = log_mel(torch.from_numpy(soxr.resample(samples, SAMPLE_RATE, ALIGNER_SAMPLE_RATE))).numpy()
        phones, tones, durations = (
            np.concatenate([getattr(part, key) for part in parts]) for key in ("phones", "tones", "durations")
        )
        durations[-1] += tail
        frames = int(durations.sum())
        mel = np.pad(mel, ((0, 0), (0, max(0, frames - mel.shape[1]))))[:, :frames]
        codes = np.asarray(encode_codes(phones.tolist(), tones.tolist()), np.int64)
        pairs = np.stack([codes, FIRST_TIME_TOKEN + np.cumsum(durations)], axis=1).reshape(-1)
        tokens = np.concatenate([[BEGIN_TOKEN], pairs, [END_TOKEN]])
        return mel, tokens, np.repeat(codes, durations)[::2]


@torch.no_grad()
def start_times_from_positions(model: Aligner) -> None:
    """Let the token for frame n begin as the sinusoid of encoder position n / 2, on the way in and on the way out."""
    table = model.encoder.positional_embedding
    count = min(model.config.n_vocab - FIRST_TIME_TOKEN, 2 * len(table) - 1)
    halves = torch.arange(count) / 2
    below, share = halves.floor().long(), (halves % 1)[:, None]
    positions = table[below] * (1 - share) + table[(below + 1).clamp(max=len(table) - 1)] * share
    times = slice(FIRST_TIME_TOKEN, FIRST_TIME_TOKEN + count)
    model.decoder.token_embedding.weight[times] = _TIME_SCALE * positions
    model.decoder.out_proj.weight[times] = functional.normalize(positions, dim=1)


@torch.no_grad()
def look_where_times_point(model: Aligner) -> None:
    """Let the decoder's cross-attention begin by looking at the audio position of the time token and a little behind,
    and the encoder's attention at its neighbours on both sides.

    Sinusoids make that a matter of weights: the product of two of them peaks where the positions agree, and a
    rotation of sine and cosine moves the peak on.
    """
    for block in model.decoder.blocks:
        assert isinstance(block, DecoderBlock)
        _look(block.cross_attn, _LOOK_AHEAD, _LOOK_GAIN)
    for block, reach in zip(model.encoder.blocks, _NEIGHBOURS, strict=False):
        assert isinstance(block, EncoderBlock)
        _look(block.attn, [reach * side for side in (-2.0, -1.0, 1.0, 2.0)], _NEIGHBOUR_GAIN)


@torch.no_grad()
def _look(attention: Attention, offsets: Sequence[float], gain: float) -> None:
    """Set queries and keys so that a head prefers what lies its offset, in positions, behind the query's own."""
    width, heads = attention.query.in_features, attention.heads
    size, half = width // heads, width // 2
    chosen = torch.arange(size // 2) * max(1, half // size)  # of the frequencies, the faster half
    speeds = torch.exp(chosen * -(math.log(10_000.0) / (half - 1)))
    query, key = torch.zeros(width, width), torch.zeros(width, width)
    for head in range(heads):
        turn = speeds * offsets[head % len(offsets)]
        sines = head * size + 2 * torch.arange(size // 2)
        cosines = sines + 1
        key[sines, chosen], key[cosines, half + chosen] = gain, gain
        query[sines, chosen], query[sines, half + chosen] = gain * turn.cos(), gain * turn.sin()
        query[cosines, half + chosen], query[cosines, chosen] = gain * turn.cos(), -gain * turn.sin()
    attention.query.weight.copy_(query)
    attention.key.weight.copy_(key)
    attention.query.bias.zero_()
