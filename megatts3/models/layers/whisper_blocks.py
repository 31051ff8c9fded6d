"""Transformer blocks of the aligner, encoder and decoder side (SPEC 4.4)."""

from torch import Tensor, nn
from torch.nn import functional

from megatts3.models.layers.key_value import KeyValue


class Attention(nn.Module):
    """Softmax attention; the key projection has no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def project(self, source: Tensor) -> KeyValue:
        """Keys and values of source (B, N, D)."""
        return KeyValue(self._heads(self.key(source)), self._heads(self.value(source)))

    def forward(self, x: Tensor, memory: KeyValue, mask: Tensor | None = None) -> Tensor:
        """x: (B, n, D); mask: bool, broadcasts to (B, heads, n, N), True where looking is allowed."""
        query = self._heads(self.query(x))
        mixed = functional.scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mlp_ln = nn.LayerNorm(width)


class EncoderBlock(_Block):
    """Self-attention, then MLP, each pre-normed with a residual around."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (B, N, D); mask: (B, 1, 1, N) bool."""
        normed = self.attn_ln(x)
        x = x + self.attn(normed, self.attn.project(normed), mask)
        mixed: Tensor = self.mlp(self.mlp_ln(x))
        return x + mixed


class DecoderBlock(_Block):
    """Causal self-attention, cross-attention to the audio, then MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.cross_attn = Attention(width, heads)
        self.cross_attn_ln = nn.LayerNorm(width)

    def forward(
        self,
        x: Tensor,
        past: KeyValue | None,
        audio: KeyValue,
        mask: Tensor | None,
        audio_mask: Tensor | None,
    ) -> tuple[Tensor, KeyValue]:
        """Some further positions.

        x:          (B, n, D)
        past:       keys and values of the positions before, if any
        audio:      keys and values of the audio for this block
        mask:       (n, N + n) bool, causal; None where n is 1
        audio_mask: (B, 1, 1, M) bool
        returns:    (B, n, D) and the keys and values up to here
        """
        normed = self.attn_ln(x)
        memory = self.attn.project(normed)
        memory = memory if past is None else past.then(memory)
        x = x + self.attn(normed, memory, mask)
        x = x + self.cross_attn(self.cross_attn_ln(x), audio, audio_mask)
        mixed: Tensor = self.mlp(self.mlp_ln(x))
        return x + mixed, memory
