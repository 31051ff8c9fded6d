"""A critic for waveforms: small networks over spectrograms of several sizes (after UnivNet, Jang 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SIZES = ((1024, 256), (512, 128), (2048, 512))  # window, hop
_SLOPE = 0.1


class _OneSize(nn.Module):
    """Scores patches of one magnitude spectrogram."""

    window: Tensor

    def __init__(self, n_fft: int, hop: int, width: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        convolution = nn.utils.parametrizations.weight_norm
        self.layers = nn.ModuleList([
            convolution(nn.Conv2d(1, width, (9, 3), stride=(4, 1), padding=(4, 1))),
            convolution(nn.Conv2d(width, width, (9, 3), stride=(4, 2), padding=(4, 1))),
            convolution(nn.Conv2d(width, width, (5, 3), stride=(2, 2), padding=(2, 1))),
            convolution(nn.Conv2d(width, width, (3, 3), padding=(1, 1))),
        ])  # fmt: skip
        self.score = convolution(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast(samples.device.type, enabled=False):
            spectrum = torch.stft(samples.float(), self.n_fft, self.hop, window=self.window, return_complex=True).abs()
            x = torch.log(spectrum + 1e-3)[:, None]
        maps = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), _SLOPE)
            maps.append(x)
        return self.score(x), maps


class SpectrogramCritic(nn.Module):
    """samples: (B, L) → scores and inner features, one entry per spectrogram size."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(_OneSize(n_fft, hop, width) for n_fft, hop in _SIZES)

    def forward(self, samples: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        outputs = [size(samples) for size in self.sizes]
        return [score for score, _ in outputs], [maps for _, maps in outputs]
