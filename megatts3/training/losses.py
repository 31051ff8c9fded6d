"""What each network is taught: spectra for the WaveVAE, velocity for the DiT, tokens for the other two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from megatts3.rates import SAMPLE_RATE

_SIZES = ((2048, 512, 100), (1024, 256, 80), (512, 128, 40), (256, 64, 0))  # window, hop, mel bands
_MEL_FLOOR = 1e-3
_BIN_FLOOR = 2e-2
_MEL_WEIGHT, _MAGNITUDE_WEIGHT, _BIN_WEIGHT = 2.0, 0.5, 0.5
_EPSILON = 1e-7
_CEPSTRA = 30


class SpectralLoss(nn.Module):
    """Distance of two waveforms in several magnitude spectra: relative, logarithmic, and log-mel where there are bands.

    Phases do not count: the decoder's pulses start where they like.
    """

    def __init__(self, floor_share: float = 1.0) -> None:
        """floor_share: of the usual floors, below which logarithms hear nothing."""
        super().__init__()
        self._mel_floor, self._bin_floor = _MEL_FLOOR * floor_share, _BIN_FLOOR * floor_share
        for window, _, bands in _SIZES:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)
            if bands:
                filters = torchaudio.functional.melscale_fbanks(
                    window // 2 + 1, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE
                )
                self.register_buffer(f"mel_{window}", filters.T, persistent=False)

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """made, true: (B, L) → scalar."""
        loss = made.new_zeros(())
        for window, hop, bands in _SIZES:
            size_a, size_b = (self._magnitude(x, window, hop) for x in (made, true))
            loss = loss + _MAGNITUDE_WEIGHT * (size_a - size_b).norm() / (size_b.norm() + _EPSILON)
            bins = functional.l1_loss(torch.log(size_a + self._bin_floor), torch.log(size_b + self._bin_floor))
            loss = loss + _BIN_WEIGHT * bins
            if bands:
                mel_a, mel_b = (
                    torch.log(self.get_buffer(f"mel_{window}") @ m + self._mel_floor) for m in (size_a, size_b)
                )
                loss = loss + _MEL_WEIGHT * functional.l1_loss(mel_a, mel_b)
        return loss

    def spread(self, made: Tensor, true: Tensor) -> Tensor:
        """How far apart each clip's average spectrum is, and how much spectra vary within it.

        Distances frame by frame are least for something smoother than speech; this makes up for it (the "global
        variance" of Toda & Tokuda 2007), on cepstra of the log-mel spectrum.  made, true: (B, L) → scalar.
        """
        window, hop, bands = _SIZES[1]
        cosines = torchaudio.functional.create_dct(_CEPSTRA, bands, "ortho").T.to(made.device)
        a, b = (
            cosines @ torch.log(self.get_buffer(f"mel_{window}") @ self._magnitude(x, window, hop) + self._mel_floor)
            for x in (made, true)
        )
        means = functional.l1_loss(a.mean(-1), b.mean(-1))
        return means + functional.l1_loss(a.std(-1), b.std(-1))

    def _magnitude(self, samples: Tensor, window: int, hop: int) -> Tensor:
        """(B, L) → (B, window / 2 + 1, frames)."""
        shape = self.get_buffer(f"window_{window}")
        parts = torch.view_as_real(torch.stft(samples, window, hop, window=shape, return_complex=True))
        return torch.sqrt(parts.square().sum(-1) + _EPSILON**2)


def pitch_distance(log_f0: Tensor, f0_hz: Tensor) -> Tensor:
    """Mean distance in octaves over voiced frames.  log_f0: (B, F) of Hz; f0_hz: (B, F), 0 where there is no voice."""
    voiced = f0_hz > 0
    distance = (log_f0 - f0_hz.clamp(min=1.0).log()).abs() / math.log(2.0)
    return (distance * voiced).sum() / voiced.sum().clamp(min=1)


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
