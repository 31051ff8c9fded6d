"""The official decoder of the WaveVAE (SPEC 7.2): upsampling units and multi-kernel blocks, 100 Hz → 24 kHz."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.models.layers.weight_norm import WeightNormConv1d, WeightNormConvTranspose1d

_SLOPE = 0.2
_KERNELS = (3, 7, 11)
_DILATIONS = (1, 3, 5)


class UpUnit(nn.Module):
    """(B, C, L) → (B, C/2, factor · L): nearest-neighbour and transposed convolution, added."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        half = channels // 2
        self.upsample = nn.Sequential(
            nn.Upsample(scale_factor=factor, mode="nearest"),
            nn.LeakyReLU(_SLOPE),
            nn.ReflectionPad1d(3),
            WeightNormConv1d(channels, half, 7),
        )
        self.trans_upsample = nn.Sequential(nn.LeakyReLU(_SLOPE), WeightNormConvTranspose1d(channels, half, factor))

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.sin(x)
        total: Tensor = self.upsample(x) + self.trans_upsample(x)
        return total


class _SubBlock(nn.Module):
    """Three residual rounds of a dilated and an undilated convolution."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()

        def convolution(dilation: int) -> WeightNormConv1d:
            padding = dilation * (kernel - 1) // 2
            return WeightNormConv1d(channels, channels, kernel, dilation=dilation, padding=padding)

        self.convs1 = nn.ModuleList([convolution(dilation) for dilation in _DILATIONS])
        self.convs2 = nn.ModuleList([convolution(1) for _ in _DILATIONS])

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(functional.leaky_relu(first(functional.leaky_relu(x, _SLOPE)), _SLOPE))
        return x


class MultiKernelBlock(nn.Module):
    """(B, C, L) → (B, C, L): the average of three sub-blocks of different kernel size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = (_SubBlock(channels, kernel) for kernel in _KERNELS)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = (self.block1(x) + self.block2(x) + self.block3(x)) / 3
        return mean


class HiFiGANDecoder(nn.Module):
    """`decoder.*` of the official checkpoint.  (B, C, F) at 100 Hz → (B, 1, 240 · F)."""

    def __init__(self, in_channels: int, ngf: int, ratios: tuple[int, ...], *, use_tanh: bool) -> None:
        super().__init__()
        width = 16 * ngf
        layers: list[nn.Module] = [nn.ReflectionPad1d(3), WeightNormConv1d(in_channels, width, 7)]
        for ratio in ratios:
            layers += [UpUnit(width, ratio), MultiKernelBlock(width // 2)]
            width //= 2
        layers += [nn.LeakyReLU(_SLOPE), nn.ReflectionPad1d(3), WeightNormConv1d(width, 1, 7)]
        layers.append(nn.Tanh() if use_tanh else nn.Conv1d(1, 1, 1))
        self.model_up = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        samples: Tensor = self.model_up(x)
        return samples
