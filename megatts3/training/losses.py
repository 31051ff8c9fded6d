"""What each network is taught: spectra for the WaveVAE, velocity for the DiT, tokens for the other two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from megatts3.rates import SAMPLE_RATE

_STFT_SIZES = ((2048, 512), (1024, 256), (512, 128), (256, 64))  # window, hop
_MEL_SIZES = ((512, 40), (1024, 80), (2048, 100))  # window, bands
_MEL_FLOOR = 1e-3
_EPSILON = 1e-7


class SpectralLoss(nn.Module):
    """Distance of two waveforms in several spectra: log-mel, STFT magnitude, and complex STFT."""

    def __init__(self) -> None:
        super().__init__()
        self.mels = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                SAMPLE_RATE, n_fft=window, hop_length=window // 4, n_mels=bands, power=1
            )
            for window, bands in _MEL_SIZES
        )
        for window, _ in _STFT_SIZES:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """made, true: (B, L) → scalar."""
        loss = made.new_zeros(())
        for mel in self.mels:
            loss = loss + functional.l1_loss(torch.log(mel(made) + _MEL_FLOOR), torch.log(mel(true) + _MEL_FLOOR))
        for window, hop in _STFT_SIZES:
            a, b = (
                torch.stft(x, window, hop, window=getattr(self, f"window_{window}"), return_complex=True)
                for x in (made, true)
            )
            magnitude = (a.abs() - b.abs()).norm() / (b.abs().norm() + _EPSILON)
            complex_ = (a - b).abs().mean() / (b.abs().mean() + _EPSILON)
            loss = loss + 0.5 * magnitude + 0.5 * complex_
        return loss


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean over elements of KL(N(mean, exp(log_variance)) ‖ N(0, 1))."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()


def flow_matching(velocity: Tensor, data: Tensor, noise: Tensor, weight: Tensor) -> Tensor:
    """Squared distance to the straight path's velocity, data - noise (Lipman et al. 2023).

    velocity, data, noise: (B, T, C); weight: (B, T) counts a frame or not.
    """
    error = ((velocity - (data - noise)) ** 2).mean(-1)
    return (error * weight).sum() / weight.sum().clamp(min=1)


def token_cross_entropy(logits: Tensor, tokens: Tensor, ignore: int) -> Tensor:
    """logits: (B, N, V); tokens: (B, N)."""
    return functional.cross_entropy(logits.transpose(1, 2).float(), tokens, ignore_index=ignore)


def discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss over the scores of several discriminators."""
    return torch.stack(
        [functional.relu(1 - r).mean() + functional.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    ).sum()


def generator_loss(fake: Sequence[Tensor]) -> Tensor:
    return torch.stack([-f.mean() for f in fake]).mean()


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Distance of the discriminators' inner features, relative to their size."""
    terms = [
        functional.l1_loss(f, r.detach()) / (r.detach().abs().mean() + _EPSILON)
        for real_maps, fake_maps in zip(real, fake, strict=True)
        for r, f in zip(real_maps, fake_maps, strict=True)
    ]
    return torch.stack(terms).mean()
