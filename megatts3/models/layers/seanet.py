"""The SEANet-like encoder of the WaveVAE (SPEC 7.1): strided convolutions and an LSTM, 24 kHz → 25 Hz."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from megatts3.models.layers.weight_norm import WeightNormConv1d


def reflect(x: Tensor, left: int, right: int) -> Tensor:
    """Reflection padding that also works for inputs shorter than the padding: such are lengthened by zeros first.

    x: (B, C, L)  returns: (B, C, left + L + right)
    """
    longest = max(left, right)
    missing = max(0, longest + 1 - x.shape[-1])
    padded = functional.pad(functional.pad(x, (0, missing)), (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - missing]


class _Convolution(nn.Module):
    """`conv.conv` in the stored names: a strided convolution padded so that its output has ⌈L / stride⌉ steps."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        convolution = WeightNormConv1d(in_channels, out_channels, kernel, stride=stride)
        self.conv = nn.ModuleDict({"conv": convolution})
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel - self.stride
        right = total // 2
        extra = math.ceil(x.shape[-1] / self.stride) * self.stride - x.shape[-1]
        convolved: Tensor = self.conv["conv"](reflect(x, total - right, right + extra))
        return convolved


class _ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.shortcut = _Convolution(width, width, 1)
        self.block = nn.Sequential(
            nn.ELU(), _Convolution(width, width // 2, 3), nn.ELU(), _Convolution(width // 2, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.shortcut(x) + self.block(x)
        return total


class _SkipLSTM(nn.Module):
    """Two unidirectional LSTM layers with the input added.  (B, C, T) → (B, C, T)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers=2)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.permute(2, 0, 1)
        summed: Tensor = self.lstm(steps)[0] + steps
        return summed.permute(1, 2, 0)


class SEANetEncoder(nn.Module):
    """(B, 1, L) → (B, dimension, T) with T = ⌈L / 960⌉ for ratios 2·4·4·5·6."""

    def __init__(self, n_filters: int, dimension: int, ratios: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Convolution(1, n_filters, 7)]
        width = n_filters
        for ratio in ratios:
            layers += [
                _ResidualUnit(width),
                nn.ELU(),
                _Convolution(width, 2 * width, 2 * ratio, stride=ratio),
            ]
            width *= 2
        layers += [_SkipLSTM(width), nn.ELU(), _Convolution(width, dimension, 7)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        encoded: Tensor = self.model(x)
        return encoded
