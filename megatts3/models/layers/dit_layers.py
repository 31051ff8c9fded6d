"""Transformer layers of the DiT: adaptive LayerNorm, rotary self-attention, feed-forward (SPEC 6.6)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.config import DiTConfig
from megatts3.models.layers.positions import rotate_interleaved

NORM_EPS = 1e-6


class Rotary(NamedTuple):
    """Cosine and sine per position, (T, head_dim / 2) each."""

    cos: Tensor
    sin: Tensor


def modulated_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """LayerNorm without weights of x (B, T, D), then scale and shift (B, D)."""
    normed = functional.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
    return normed * (1 + scale[:, None]) + shift[:, None]


class AdaptiveNorm(nn.Module):
    """``linear`` turns the time embedding into ``count`` vectors; ``forward`` applies two of them."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.linear = nn.Linear(width, count * width)
        nn.init.zeros_(self.linear.weight)  # a fresh layer is the identity, which is what training starts from
        nn.init.zeros_(self.linear.bias)

    def vectors(self, tau: Tensor) -> Tensor:
        """tau: (B, D); returns (B, count, D) in stored order."""
        out: Tensor = self.linear(functional.silu(tau))
        return out.reshape(*tau.shape[:-1], self.count, -1)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return modulated_norm(x, scale, shift)


class SelfAttention(nn.Module):
    """Full attention with interleaved rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.wq = nn.Linear(width, width)
        self.wk = nn.Linear(width, width)
        self.wv = nn.Linear(width, width)
        self.wo = nn.Linear(width, width)

    def forward(self, x: Tensor, rotary: Rotary, key_mask: Tensor | None) -> Tensor:
        """x: (B, T, D); key_mask: (B, 1, 1, T) bool, True where a latent frame may be looked at."""
        query, key, value = (
            proj(x).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for proj in (self.wq, self.wk, self.wv)
        )
        query, key = rotate_interleaved(query, *rotary), rotate_interleaved(key, *rotary)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=key_mask)
        out: Tensor = self.wo(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two linear layers with SiLU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w2(functional.silu(self.w1(x)))
        return out


class DiTLayer(nn.Module):
    """Attention and feed-forward, each normed, modulated and gated by the time."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.attention_norm = AdaptiveNorm(config.dim, 6)
        self.attention = SelfAttention(config.dim, config.n_heads)
        self.feed_forward = FeedForward(config.dim, config.ffn_dim)

    def forward(self, h: Tensor, modulation: Tensor, rotary: Rotary, key_mask: Tensor | None) -> Tensor:
        """h: (B, T, D); modulation: (B, 6, D)."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation.unbind(1)
        attended = self.attention(self.attention_norm(h, scale_a, shift_a), rotary, key_mask)
        h = h + gate_a[:, None] * attended
        fed: Tensor = self.feed_forward(modulated_norm(h, scale_f, shift_f))
        return h + gate_f[:, None] * fed


class DiTLayers(nn.Module):
    """All layers, the last norm and the projection behind it."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DiTLayer(config) for _ in range(config.n_layers))
        self.norm = AdaptiveNorm(config.dim, 2)
        self.out_proj = nn.Linear(config.dim, config.dim)

    def vectors(self, tau: Tensor) -> tuple[Tensor, Tensor]:
        """Adaptive-norm vectors of all layers (B, n_layers, 6, D) and of the last norm (B, 2, D)."""
        norms = [norm for layer in self.layers for norm in layer.children() if isinstance(norm, AdaptiveNorm)]
        return torch.stack([norm.vectors(tau) for norm in norms], dim=1), self.norm.vectors(tau)

    def forward(self, h: Tensor, layers: Tensor, final: Tensor, rotary: Rotary, key_mask: Tensor | None) -> Tensor:
        """h: (B, T, D); layers: (B, n_layers, 6, D); final: (B, 2, D) scale, shift."""
        for layer, modulation in zip(self.layers, layers.unbind(1), strict=True):
            h = layer(h, modulation, rotary, key_mask)
        scale, shift = final.unbind(1)
        out: Tensor = self.out_proj(self.norm(h, scale, shift))
        return out


class TimeEmbedding(nn.Module):
    """Time features → τ (SPEC 6.5)."""

    def __init__(self, width: int, features: int = 256) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, 256); returns τ (B, D)."""
        out: Tensor = self.time_mlp(features.to(next(self.parameters()).dtype))
        return out
