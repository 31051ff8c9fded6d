"""Convolutions stored as a weight-norm pair, w = g · v / ‖v‖ (SPEC 7), with the product foldable once after loading."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_ALL_BUT_FIRST = (1, 2)


class _WeightNorm(nn.Module):
    """Holds `weight_g`, `weight_v`, `bias` under their stored names; subclasses apply the effective weight."""

    weight: Tensor | None

    def __init__(self, shape: tuple[int, int, int], out_channels: int) -> None:
        super().__init__()
        v = torch.empty(shape)
        nn.init.kaiming_uniform_(v, a=5**0.5)
        self.weight_v = nn.Parameter(v)
        self.weight_g = nn.Parameter(v.norm(dim=_ALL_BUT_FIRST, keepdim=True))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("weight", None, persistent=False)

    def effective_weight(self) -> Tensor:
        if self.weight is not None:
            return self.weight
        weight: Tensor = self.weight_v * (self.weight_g / self.weight_v.norm(dim=_ALL_BUT_FIRST, keepdim=True))
        return weight

    def fold(self) -> None:
        """Compute the effective weight once; for inference, after the parameters are loaded and cast."""
        self.weight = None
        self.weight = self.effective_weight().detach()


class WeightNormConv1d(_WeightNorm):
    """Conv1d without padding of its own.  (B, C_in, L) → (B, C_out, ·)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__((out_channels, in_channels, kernel), out_channels)
        self.kernel, self.stride, self.dilation, self.padding = kernel, stride, dilation, padding

    def forward(self, x: Tensor) -> Tensor:
        weight = self.effective_weight()
        return functional.conv1d(x, weight, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation)


class WeightNormConvTranspose1d(_WeightNorm):
    """ConvTranspose1d; the norm runs per *input* channel, as stored.  (B, C_in, L) → (B, C_out, stride·L)."""

    def __init__(self, in_channels: int, out_channels: int, factor: int) -> None:
        half = max(factor, 5)
        super().__init__((in_channels, out_channels, 2 * half), out_channels)
        self.stride, self.padding, self.output_padding = factor, half - factor // 2, factor % 2

    def forward(self, x: Tensor) -> Tensor:
        weight = self.effective_weight()
        return functional.conv_transpose1d(
            x, weight, self.bias, stride=self.stride, padding=self.padding, output_padding=self.output_padding
        )


def fold_weight_norm(module: nn.Module) -> None:
    """Fold every weight-norm pair below `module`; call again after loading other parameters."""
    for child in module.modules():
        if isinstance(child, _WeightNorm):
            child.fold()
