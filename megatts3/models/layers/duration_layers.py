"""Decoder layers of the duration LM: rotary causal attention and feed-forward (SPEC 5.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.models.layers.key_value import KeyValue
from megatts3.models.layers.positions import rotate_half_split


class FusedAttention(nn.Module):
    """Queries, keys and values in one matrix; no biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, past: KeyValue | None, mask: Tensor
    ) -> tuple[Tensor, KeyValue]:
        """x: (B, n, C); cos, sin: (B, 1, n, head_dim / 2); mask: (B, 1, n, N + n) bool, True where allowed."""
        fused = functional.linear(x, self.in_proj_weight)
        query, key, value = (
            part.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in fused.chunk(3, dim=-1)
        )
        memory = KeyValue(rotate_half_split(key, cos, sin), value)
        memory = memory if past is None else past.then(memory)
        query = rotate_half_split(query, cos, sin)
        mixed = functional.scaled_dot_product_attention(query, memory.key, memory.value, attn_mask=mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out, memory


class PointwiseConv(nn.Conv1d):
    """A linear layer stored as a kernel-1 convolution; works on (B, n, C)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name the parent gave it
        return functional.linear(input, self.weight[..., 0], self.bias)


class GeluFeedForward(nn.Module):
    """C → 4C, GELU, 4C → C. Index 0 of ``ffn_1`` is a padding layer in the stored names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ffn_1 = nn.Sequential(nn.Identity(), PointwiseConv(width, 4 * width, 1))
        self.ffn_2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ffn_2(functional.gelu(self.ffn_1(x)))
        return out


class _LayerParts(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        self.self_attn = FusedAttention(width, heads)
        self.layer_norm2 = nn.LayerNorm(width)
        self.ffn = GeluFeedForward(width)

    def forward(
        self, h: Tensor, cos: Tensor, sin: Tensor, past: KeyValue | None, mask: Tensor
    ) -> tuple[Tensor, KeyValue]:
        attended, memory = self.self_attn(self.layer_norm1(h), cos, sin, past, mask)
        h = h + attended
        fed: Tensor = self.ffn(self.layer_norm2(h))
        return h + fed, memory


class DurationLayer(nn.Module):
    """One pre-norm layer, under the wrapper that the stored names have."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.op = _LayerParts(width, heads)

    def forward(
        self, h: Tensor, cos: Tensor, sin: Tensor, past: KeyValue | None, mask: Tensor
    ) -> tuple[Tensor, KeyValue]:
        """Arguments as ``FusedAttention.forward``."""
        out: tuple[Tensor, KeyValue] = self.op(h, cos, sin, past, mask)
        return out
