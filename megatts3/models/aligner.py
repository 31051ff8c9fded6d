"""The aligner: reference audio → phone codes and end times, by a Whisper-like encoder and decoder (SPEC 4).

Clips are padded on the right with log-mel value 0.0 and told apart by a key mask; a padded clip's tokens
equal those of the clip alone.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.config import AlignerConfig
from megatts3.models.layers.key_value import KeyValue, KeyValueBuffer
from megatts3.models.layers.whisper_blocks import DecoderBlock, EncoderBlock

BEGIN_TOKEN = 798
END_TOKEN = 799
FIRST_TIME_TOKEN = 800  # 800 + n: n frames from the start of the prompt
MAX_NEW_TOKENS = 768


def _sinusoids(length: int, width: int) -> Tensor:
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10_000.0) / (half - 1)))
    phase = torch.arange(length, dtype=torch.float32)[:, None] * frequencies
    return torch.cat((phase.sin(), phase.cos()), dim=1)


class AudioEncoder(nn.Module):
    """Log-mel → audio states at half the frame rate."""

    positional_embedding: Tensor

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__()
        width = config.n_state
        self.conv1 = nn.Conv1d(config.n_mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positional_embedding", _sinusoids(config.n_audio_ctx, width))
        self.blocks = nn.ModuleList(EncoderBlock(width, config.n_head) for _ in range(config.n_layer))
        self.ln_post = nn.LayerNorm(width)

    def forward(self, mel: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """mel: (B, n_mels, P); key_mask: (B, P / 2) bool; returns (B, P / 2, D)."""
        x = functional.gelu(self.conv1(mel))
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.positional_embedding[: x.shape[1]]
        mask = None if key_mask is None else key_mask[:, None, None]
        for block in self.blocks:
            x = block(x, mask)
        out: Tensor = self.ln_post(x)
        return out


@dataclass(frozen=True)
class DecoderState:
    """What the decoder remembers: per block the audio's keys and values and those of the tokens so far."""

    audio: tuple[KeyValue, ...]
    audio_mask: Tensor | None
    past: tuple[KeyValue, ...] | None
    position: int


class TokenDecoder(nn.Module):
    """Tokens so far and audio states → logits of the next token."""

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__()
        width = config.n_state
        self.token_embedding = nn.Embedding(config.n_vocab, width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.positional_embedding = nn.Parameter(torch.randn(config.n_text_ctx, width) * 0.01)
        self.blocks = nn.ModuleList(DecoderBlock(width, config.n_head) for _ in range(config.n_layer))
        self.ln = nn.LayerNorm(width)
        self.out_proj = nn.Linear(width, config.n_vocab)

    def start(self, audio: Tensor, key_mask: Tensor | None = None) -> DecoderState:
        """audio: (B, M, D); key_mask: (B, M) bool."""
        blocks = [block for block in self.blocks if isinstance(block, DecoderBlock)]
        memory = tuple(block.cross_attn.project(audio) for block in blocks)
        return DecoderState(memory, None if key_mask is None else key_mask[:, None, None], None, 0)

    def forward(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """tokens: (B, n) int, following those in the state; returns logits (B, n, V) and the new state."""
        first, count = state.position, tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[first : first + count]
        mask = None
        if count > 1:
            mask = torch.ones(count, first + count, dtype=torch.bool, device=tokens.device).tril(first)
        memories = []
        for i, block in enumerate(self.blocks):
            past = None if state.past is None else state.past[i]
            x, memory = block(x, past, state.audio[i], mask, state.audio_mask)
            memories.append(memory)
        logits: Tensor = self.out_proj(self.ln(x))
        return logits, DecoderState(state.audio, state.audio_mask, tuple(memories), first + count)


class Aligner(nn.Module):
    """Encoder and decoder under their stored names."""

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = AudioEncoder(config)
        self.decoder = TokenDecoder(config)

    def forward(self, mel: Tensor, tokens: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Teacher-forced pass, for training.

        mel:      (B, n_mels, P) padded with 0.0
        tokens:   (B, n) int, beginning with 798; what pads them on the right does not matter before it
        key_mask: (B, P / 2) bool, True on a clip's own frames
        returns:  (B, n, n_vocab) logits of the token after each
        """
        logits: Tensor
        logits, _ = self.decoder(tokens, self.decoder.start(self.encoder(mel, key_mask), key_mask))
        return logits


class GreedyTokens:
    """The likeliest token after each (SPEC 4.5), one a call, so that other work can be done in between.

    Where another token was nearly as likely as the one that was taken, company in the batch could have decided:
    that clip is named in ``close_calls``, to be asked alone.
    """

    CLOSE_CALL = 2e-3  # in logits; clips differ by less than 1e-5 from themselves alone (SPEC 10.2)

    def __init__(
        self, aligner: Aligner, mel: Tensor, key_mask: Tensor | None = None, max_new_tokens: int = MAX_NEW_TOKENS
    ) -> None:
        """mel, key_mask: as ``Aligner.forward`` takes them"""
        self._decoder = aligner.decoder
        self._state = aligner.decoder.start(aligner.encoder(mel, key_mask), key_mask)
        self._left = min(max_new_tokens, aligner.config.n_text_ctx)
        self._steps = [torch.full((mel.shape[0], 1), BEGIN_TOKEN, device=mel.device)]
        self._ended = torch.zeros_like(self._steps[0], dtype=torch.bool)
        self._is_close = self._ended[:, 0].clone()
        self.is_done = self._left == 0

    def step(self) -> None:
        """One more token of every clip."""
        room = self._left
        logits, state = self._decoder(self._steps[-1], self._state)
        if self._state.past is None and state.past is not None:
            grown: tuple[KeyValue, ...] = tuple(KeyValueBuffer.of(memory, room) for memory in state.past)
            state = replace(state, past=grown)
        self._state = state
        likeliest = logits[:, -1].topk(2, dim=-1)
        near = likeliest.values[:, 0] - likeliest.values[:, 1] < self.CLOSE_CALL
        self._is_close |= near & ~self._ended[:, 0]
        # A clip that has ended keeps its place in the batch and says nothing but "end".
        tokens = likeliest.indices[:, :1].masked_fill(self._ended, END_TOKEN)
        self._steps.append(tokens)
        self._ended = self._ended | tokens.eq(END_TOKEN)
        self._left -= 1
        self.is_done = self._left == 0 or bool(self._ended.all())

    @property
    def tokens(self) -> list[tuple[int, ...]]:
        """One tuple a clip, beginning with 798, ending with 799 if that was reached."""
        return [_until_end(row) for row in torch.cat(self._steps, dim=1).tolist()]

    @property
    def close_calls(self) -> list[bool]:
        """Per clip whether it should be asked alone."""
        found: list[bool] = self._is_close.tolist()
        return found


def greedy_tokens(
    aligner: Aligner, mel: Tensor, key_mask: Tensor | None = None, max_new_tokens: int = MAX_NEW_TOKENS
) -> list[tuple[int, ...]]:
    """All of it in one go: per clip its tokens until the end token or the limit."""
    work = GreedyTokens(aligner, mel, key_mask, max_new_tokens)
    while not work.is_done:
        work.step()
    return work.tokens


def _until_end(row: list[int]) -> tuple[int, ...]:
    return tuple(row[: row.index(END_TOKEN) + 1] if END_TOKEN in row else row)
