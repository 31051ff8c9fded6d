"""The phone encoder that the DiT and the duration LM share: a transformer with relative positions (SPEC A.1).

Inside, tensors are channel-major (B, D, S), as the stored kernel-1 convolutions ask for. Padding is on the
right; a padded row's phones come out exactly as they do alone.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MASKED_SCORE = -10_000.0  # SPEC A.1, step 6: not minus infinity, so that a masked row stays finite


class ChannelLayerNorm(nn.Module):
    """LayerNorm over the channels of (B, D, S)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        normed = functional.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, eps=1e-4)
        return normed.transpose(1, 2)


class ConvPrenet(nn.Module):
    """Convolutions with a residual around all of them."""

    def __init__(self, width: int, kernel: int, layers: int) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList(nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(layers))
        self.norm_layers = nn.ModuleList(ChannelLayerNorm(width) for _ in range(layers))
        self.proj = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, D, S); mask: (B, 1, S) of x's dtype; returns (B, D, S), zero on padding."""
        out = x
        for conv, norm in zip(self.conv_layers, self.norm_layers, strict=True):
            out = torch.relu(norm(conv(out * mask)))
        projected: Tensor = self.proj(out)
        return (x + projected) * mask


class RelativeAttention(nn.Module):
    """Self-attention whose scores and values know the distance of near phones."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.conv_q = nn.Conv1d(width, width, 1)
        self.conv_k = nn.Conv1d(width, width, 1)
        self.conv_v = nn.Conv1d(width, width, 1)
        self.conv_o = nn.Conv1d(width, width, 1)
        head_dim = width // heads
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * window + 1, head_dim) * head_dim**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * window + 1, head_dim) * head_dim**-0.5)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, D, S) → (B, heads, S, head_dim)."""
        return x.reshape(x.shape[0], self.heads, -1, x.shape[-1]).transpose(2, 3)

    def forward(self, x: Tensor, pair_mask: Tensor) -> Tensor:
        """x: (B, D, S); pair_mask: (B, 1, S, S) bool, False where either phone is padding."""
        query, key, value = (self._heads(conv(x)) for conv in (self.conv_q, self.conv_k, self.conv_v))
        window, length = self.window, x.shape[-1]
        index = torch.arange(length, device=x.device)
        offset = index[None, :] - index[:, None] + window  # (S, S); 0 … 2·window where near
        near = (offset >= 0) & (offset <= 2 * window)
        shape = (*query.shape[:2], length, length)

        scores = query @ key.transpose(-1, -2)
        relative = query @ self.emb_rel_k.transpose(-1, -2).to(query.dtype)  # (B, heads, S, 2·window+1)
        spread = relative.gather(-1, offset.clamp(0, 2 * window).expand(shape))
        scores = (scores + spread * near) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~pair_mask, MASKED_SCORE).softmax(-1).to(value.dtype)

        band = functional.pad(weights, (window, window)).gather(
            -1,
            (index[:, None] + torch.arange(2 * window + 1, device=x.device)).expand(*query.shape[:2], -1, -1),
        )
        out = weights @ value + band @ self.emb_rel_v.to(value.dtype)
        mixed: Tensor = self.conv_o(out.transpose(2, 3).flatten(1, 2))
        return mixed


class ConvFeedForward(nn.Module):
    """Feed-forward part whose first layer sees neighbouring phones."""

    def __init__(self, width: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(width, hidden, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(hidden, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, D, S); mask: (B, 1, S); returns (B, D, S), zero on padding."""
        hidden = torch.relu(self.conv_1(x * mask))
        out: Tensor = self.conv_2(hidden * mask) * mask
        return out


class RelativeLayers(nn.Module):
    """The pre-norm layers of the encoder, and its last norm."""

    def __init__(self, width: int, hidden: int, heads: int, layers: int, kernel: int, window: int) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(RelativeAttention(width, heads, window) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelLayerNorm(width) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(ConvFeedForward(width, hidden, kernel) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelLayerNorm(width) for _ in range(layers))
        self.last_ln = ChannelLayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        valid = mask.bool()
        pair_mask = (valid.transpose(1, 2) & valid)[:, None]
        blocks = zip(self.norm_layers_1, self.attn_layers, self.norm_layers_2, self.ffn_layers, strict=True)
        for norm_1, attention, norm_2, feed_forward in blocks:
            x = x * mask
            x = x + attention(norm_1(x), pair_mask)
            x = x + feed_forward(norm_2(x), mask)
        normed: Tensor = self.last_ln(x) * mask
        return normed


class RelativeEncoder(nn.Module):
    """Phone ids and a side embedding → states."""

    def __init__(
        self,
        *,
        vocab: int,
        width: int,
        hidden: int,
        heads: int,
        layers: int,
        kernel: int = 3,
        window: int = 4,
        prenet_kernel: int = 5,
        prenet_layers: int = 3,
    ) -> None:
        super().__init__()
        self.emb = nn.Embedding(vocab, width)
        nn.init.normal_(self.emb.weight, std=width**-0.5)  # it is scaled by √width when read
        self.pre = ConvPrenet(width, prenet_kernel, prenet_layers)
        self.encoder = RelativeLayers(width, hidden, heads, layers, kernel, window)

    def forward(self, phones: Tensor, side: Tensor) -> Tensor:
        """Encode phones.

        phones:  (B, S) int, 0 at padding, which is on the right
        side:    (B, S, D), added to the scaled phone embedding
        returns: (B, S, D), zero on padding
        """
        x = self.emb(phones) * math.sqrt(self.emb.embedding_dim) + side
        lengths = phones.ne(0).sum(dim=1, keepdim=True)
        positions = torch.arange(phones.shape[1], device=phones.device)
        mask = (positions < lengths)[:, None].to(x.dtype)
        x = self.pre(x.transpose(1, 2), mask)
        out: Tensor = self.encoder(x, mask)
        return out.transpose(1, 2)
