"""The duration LM: phones → duration tokens, one after another, in the manner of a prompt (SPEC 5).

A duration token is frames + 1. The prompt's phones with their known tokens are fed once (``prompt``); every
segment continues from that same state (``continue_durations``). Rows of different lengths are padded on the
right and told apart by masks; a padded row's tokens equal those of the row alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.config import DurationLMConfig
from megatts3.models.layers.duration_layers import DurationLayer
from megatts3.models.layers.key_value import KeyValue, KeyValueBuffer
from megatts3.models.layers.positions import phone_positions, rotary_angles
from megatts3.models.layers.relative_encoder import RelativeEncoder


@dataclass(frozen=True)
class DurationPrompt:
    """The state that a prompt leaves behind: what every segment of that voice starts from.

    layers:     per decoder layer the keys (rotated) and values, (B, heads, N, head_dim)
    key_mask:   (B, N) bool, False where a shorter prompt is padded
    lengths:    (B,) int, prompt phones per row
    last_token: (B,) int, the prompt's last duration token
    """

    layers: tuple[KeyValue, ...]
    key_mask: Tensor
    lengths: Tensor
    last_token: Tensor

    @classmethod
    def stack(cls, prompts: Sequence["DurationPrompt"]) -> "DurationPrompt":
        """One batch of several prompts, padded on the right."""
        longest = max(prompt.key_mask.shape[1] for prompt in prompts)

        def pad(x: Tensor) -> Tensor:
            return functional.pad(x, (0, 0, 0, longest - x.shape[2]))

        layers = tuple(
            KeyValue(
                torch.cat([pad(memory.key) for memory in memories]),
                torch.cat([pad(memory.value) for memory in memories]),
            )
            for memories in zip(*(prompt.layers for prompt in prompts), strict=True)
        )
        masks = [functional.pad(p.key_mask, (0, longest - p.key_mask.shape[1])) for p in prompts]
        return cls(
            layers,
            torch.cat(masks),
            torch.cat([p.lengths for p in prompts]),
            torch.cat([p.last_token for p in prompts]),
        )


class DurationLM(nn.Module):
    """Phone encoder and duration decoder."""

    def __init__(self, config: DurationLMConfig) -> None:
        super().__init__()
        self.config = config
        text_width, width = config.dur_txt_hs, config.dur_model_hidden_size
        tone_table = nn.Embedding(config.tone_vocab, text_width)
        nn.init.normal_(tone_table.weight, std=text_width**-0.5)
        self.ling_label_embed_layers = nn.ModuleDict({"tone": tone_table})
        self.encoder = RelativeEncoder(
            vocab=config.phone_vocab,
            width=text_width,
            hidden=config.ffn_hidden_size,
            heads=config.num_heads,
            layers=config.enc_layers,
            kernel=config.enc_ffn_kernel_size,
        )
        self.enc_proj = nn.Linear(text_width, width)
        # Row 0 is padding and stays zero: it is also what a first token 0 selects (SPEC 5.5).
        self.code_emb = nn.Embedding(config.dur_code_size + 2, width, padding_idx=0)
        nn.init.normal_(self.code_emb.weight[1:], std=width**-0.5)
        self.layers = nn.ModuleList(DurationLayer(width, config.decoder_heads) for _ in range(config.dur_model_layers))
        self.layer_norm = nn.LayerNorm(width)
        self.project_out_dim: nn.Module = (
            nn.Sequential(nn.Linear(width, 1), nn.Softplus())
            if config.dur_model_type == "ar_mse"
            else nn.Linear(width, config.dur_code_size + 1)
        )

    @property
    def begin_token(self) -> int:
        """What a prompt starts with."""
        return self.config.dur_code_size + 1

    def encode_text(self, phones: Tensor, tones: Tensor) -> Tensor:
        """Conditioning of each phone (SPEC 5.1). Prompt and segment are encoded apart.

        phones, tones: (B, S) int, phone 0 at padding
        returns:       (B, S, C)
        """
        present = phones.ne(0)[..., None]
        side = self.ling_label_embed_layers["tone"](tones)
        side = side + phone_positions(phones.shape[1], side.shape[-1], phones.device).to(side.dtype)
        projected: Tensor = self.enc_proj(self.encoder(phones, side * present) * present)
        return projected

    def decode(
        self,
        tokens: Tensor,
        text: Tensor,
        positions: Tensor,
        mask: Tensor,
        *,
        past: Sequence[KeyValue] | None = None,
        first_step: int = 1,
    ) -> tuple[Tensor, tuple[KeyValue, ...]]:
        """Some further steps.

        tokens:     (B, n) int, the token before each step
        text:       (B, n, C) conditioning of each step's phone
        positions:  (B, n) int, absolute, prompt and segment counted together
        mask:       (B, n, N + n) bool, True where a step may look
        past:       per layer, keys and values of the N positions before
        first_step: the first step's number in this call, from 1 (SPEC 5.3)
        returns:    (B, n, 1) durations in tokens, or (B, n, K + 1) logits; keys and values up to here
        """
        width, count = text.shape[-1], tokens.shape[1]
        h = self.code_emb(tokens) + text
        if self.config.use_pos_embed:
            rows = phone_positions(first_step + count, width, text.device)[first_step:]
            h = h + rows.to(h.dtype)
        cos, sin = rotary_angles(positions, width // self.config.decoder_heads)
        memories = []
        for i, layer in enumerate(self.layers):
            h, memory = layer(h, cos[:, None], sin[:, None], past[i] if past else None, mask[:, None])
            memories.append(memory)
        out: Tensor = self.project_out_dim(self.layer_norm(h))
        return out, tuple(memories)

    def forward(
        self,
        tokens: Tensor,
        text: Tensor,
        key_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Teacher-forced causal pass over whole rows, for training.

        tokens:    (B, n) int, the token before each step: first ``begin_token``, then the known ones
        text:      (B, n, C) from ``encode_text``; a prompt's and its segment's may be joined
        key_mask:  (B, n) bool, False at padding that lies before a row's end
        positions: (B, n) int; 0 … n-1 if not given
        returns:   (B, n, 1) or (B, n, K + 1), for each step the token that belongs to its phone
        """
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        out, _ = self.decode(tokens, text, positions, _causal(tokens, key_mask))
        return out

    def prompt(self, phones: Tensor, tones: Tensor, tokens: Tensor) -> DurationPrompt:
        """Feed prompts with their known tokens (SPEC 5.4).

        phones, tones, tokens: (B, S) int, 0 at padding, which is on the right
        """
        begin = torch.full_like(tokens[:, :1], self.begin_token)
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        key_mask = phones.ne(0)
        text = self.encode_text(phones, tones)
        inputs = torch.cat((begin, tokens[:, :-1]), dim=1)
        _, layers = self.decode(inputs, text, positions, _causal(tokens, None))
        lengths = key_mask.sum(1)
        return DurationPrompt(layers, key_mask, lengths, tokens.gather(1, lengths[:, None] - 1)[:, 0])

    def choose(self, out: Tensor, *, first: bool) -> Tensor:
        """Tokens from one step's output (B, 1, ·): rounded, or the likeliest (SPEC 5.5). (B, 1) int"""
        if self.config.dur_model_type == "ar":
            return out.argmax(-1)
        rounded = out[..., 0].float().round().long()  # to even at halves
        return rounded.clamp(0 if first else 1, self.config.dur_code_size)


def _causal(tokens: Tensor, key_mask: Tensor | None) -> Tensor:
    """(B, n, n) bool. A padded step still sees itself, so that no row of the softmax is empty."""
    count = tokens.shape[1]
    causal = torch.ones(count, count, dtype=torch.bool, device=tokens.device).tril()
    if key_mask is None:
        return causal.expand(tokens.shape[0], -1, -1)
    itself = torch.eye(count, dtype=torch.bool, device=tokens.device)
    return (causal & key_mask[:, None]) | itself


def continue_durations(lm: DurationLM, prompt: DurationPrompt, phones: Tensor, tones: Tensor) -> Tensor:
    """Duration tokens of segments, each continuing from its row's prompt (SPEC 5.5).

    phones, tones: (B, S) int, 0 at padding
    returns:       (B, S) int tokens, frames + 1; 0 at padding
    """
    text = lm.encode_text(phones, tones)
    tokens, past, seen = prompt.last_token[:, None], prompt.layers, prompt.key_mask
    chosen = []
    for step in range(phones.shape[1]):
        seen = functional.pad(seen, (0, 1), value=True)
        out, past = lm.decode(
            tokens,
            text[:, step : step + 1],
            prompt.lengths[:, None] + step,
            seen[:, None],
            past=past,
            first_step=step + 1,
        )
        tokens = lm.choose(out, first=step == 0)
        chosen.append(tokens)
    return torch.cat(chosen, dim=1) * phones.ne(0)


class Continuation:
    """``continue_durations`` for many rows, one token a call, so that other work can be done in between.

    A product over several rows may differ from that of one in its last bits, and a token is rounded: where a
    row's output came within CLOSE_CALL of another token, that row is named in ``close_calls``, to be asked alone.
    """

    CLOSE_CALL = 2e-3  # in tokens, or in logits; rows differ by less than 1e-5 (SPEC 10.2)

    def __init__(self, lm: DurationLM, prompt: DurationPrompt, phones: Tensor, tones: Tensor) -> None:
        """phones, tones: (B, S) int, 0 at padding; `prompt` has B rows."""
        self._lm, self._phones = lm, phones
        self._text = lm.encode_text(phones, tones)
        steps = phones.shape[1]
        self._past: Sequence[KeyValue] = [KeyValueBuffer.of(memory, steps) for memory in prompt.layers]
        self._seen = functional.pad(prompt.key_mask, (0, steps), value=True)
        self._lengths, self._before = prompt.lengths[:, None], prompt.key_mask.shape[1]
        self._chosen = [prompt.last_token[:, None]]
        self._is_close = torch.zeros(phones.shape[0], dtype=torch.bool, device=phones.device)

    @property
    def is_done(self) -> bool:
        return len(self._chosen) > self._phones.shape[1]

    def step(self) -> None:
        """One more token of every row."""
        step = len(self._chosen) - 1
        out, self._past = self._lm.decode(
            self._chosen[-1],
            self._text[:, step : step + 1],
            self._lengths + step,
            self._seen[:, None, : self._before + step + 1],
            past=self._past,
            first_step=step + 1,
        )
        self._chosen.append(self._lm.choose(out, first=step == 0))
        self._is_close |= self._margin(out) & self._phones[:, step].ne(0)

    def _margin(self, out: Tensor) -> Tensor:
        """(B, 1, ·) → (B,) whether another token was near."""
        if self._lm.config.dur_model_type == "ar":
            best = out[:, 0].float().topk(2, dim=-1).values
            return best[:, 0] - best[:, 1] < self.CLOSE_CALL
        value = out[:, 0, 0].float()
        return (value - value.floor() - 0.5).abs() < self.CLOSE_CALL

    @property
    def tokens(self) -> Tensor:
        """(B, S) int, 0 at padding; after the last step."""
        return torch.cat(self._chosen[1:], dim=1) * self._phones.ne(0)

    @property
    def close_calls(self) -> list[bool]:
        """Per row whether it should be asked alone."""
        found: list[bool] = self._is_close.tolist()
        return found
