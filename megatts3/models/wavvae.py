"""WaveVAE: waveform ↔ 25 Hz latent (SPEC 7).  Two decoder kinds; the official one, and a light one for small models."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from megatts3.config import WaveVAEConfig
from megatts3.models.layers.hifigan import HiFiGANDecoder, UpUnit
from megatts3.models.layers.seanet import SEANetEncoder
from megatts3.models.layers.source_filter import SourceFilterDecoder

_LOG_VARIANCE_RANGE = (-30.0, 20.0)
_HIFIGAN_CONTEXT_LATENTS = 6  # SPEC 7.3: 5476 samples on a side
SAMPLES_PER_LATENT = 960


class Posterior(NamedTuple):
    """Diagonal normal over latents.  mean, log_variance: (B, T, C)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """noise: (B, T, C) standard normal."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class _Encoder(nn.Module):
    """One level of the stored names (`encoder.encoder.model…`)."""

    def __init__(self, config: WaveVAEConfig) -> None:
        super().__init__()
        self.encoder = SEANetEncoder(config.enc_n_filters, config.enc_dimension, config.enc_ratios_applied)

    def forward(self, x: Tensor) -> Tensor:
        encoded: Tensor = self.encoder(x)
        return encoded


class WaveVAE(nn.Module):
    """Parameter names are those of the release for decoder kind `hifigan`."""

    def __init__(self, config: WaveVAEConfig, *, with_encoder: bool = True) -> None:
        super().__init__()
        self.config = config
        self.encoder: _Encoder | None = _Encoder(config) if with_encoder else None
        self.proj_to_z = nn.Linear(config.enc_dimension, 2 * config.latent_dim)
        self.proj_to_decoder = nn.Linear(config.latent_dim, config.dec_in)
        self.latent_upsampler: UpUnit | None = None
        self.decoder: HiFiGANDecoder | SourceFilterDecoder
        if config.decoder == "source_filter":
            self.decoder = SourceFilterDecoder(
                config.dec_in,
                config.light_dim,
                prenet_layers=config.light_prenet_layers,
                layers=config.light_layers,
                n_fft=config.light_n_fft,
                hop=config.light_hop,
            )
        else:
            first, *rest = config.dec_ratios
            self.latent_upsampler = UpUnit(config.dec_in, first)
            self.decoder = HiFiGANDecoder(config.dec_in // 2, config.ngf, tuple(rest), use_tanh=config.use_tanh)

    @property
    def context_latents(self) -> int:
        """Latents of context on a side that make a partial decode equal to the full one."""
        if isinstance(self.decoder, SourceFilterDecoder):
            return self.decoder.context_latents
        return _HIFIGAN_CONTEXT_LATENTS

    def encode(self, samples: Tensor) -> Posterior:
        """samples: (B, L) at 24 kHz → posterior over T = ⌈L / 960⌉ latents.

        Rows must have one length: reflection happens at the true end of each stage (SPEC 10.2).
        """
        assert self.encoder is not None, "this checkpoint has no encoder; ask Capabilities first"
        hidden = self.proj_to_z(self.encoder(samples[:, None]).transpose(1, 2))
        mean, log_variance = hidden.chunk(2, dim=-1)
        return Posterior(mean, log_variance.clamp(*_LOG_VARIANCE_RANGE))

    def decode(self, latent: Tensor, lengths: Tensor | None = None) -> Tensor:
        """latent: (B, T, C) → (B, 960 · T); with `lengths` (B,), rows end where they say and equal a single decode.

        Samples after a row's end are zero.
        """
        if lengths is None:
            return self._decode_equal(latent, None)
        if isinstance(self.decoder, SourceFilterDecoder):
            samples = self._decode_equal(latent, lengths)
            ends = lengths[:, None] * SAMPLES_PER_LATENT
            return samples * (torch.arange(samples.shape[1], device=latent.device)[None] < ends)
        return self._decode_grouped(latent, lengths)

    def decode_with_pitch(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """For training the light decoder: latent (B, T, C) → log F0 (B, 4 · T) at 100 Hz, samples (B, 960 · T)."""
        assert isinstance(self.decoder, SourceFilterDecoder), "only the light decoder is trained here"
        log_f0, samples = self.decoder.pitch_and_samples(self.proj_to_decoder(latent))
        return log_f0, samples[:, 0]

    def _decode_equal(self, latent: Tensor, lengths: Tensor | None) -> Tensor:
        hidden = self.proj_to_decoder(latent)
        samples: Tensor
        if isinstance(self.decoder, SourceFilterDecoder):
            samples = self.decoder(hidden, lengths)
            return samples[:, 0]
        assert self.latent_upsampler is not None
        samples = self.decoder(self.latent_upsampler(hidden.transpose(1, 2)))
        return samples[:, 0]

    def _decode_grouped(self, latent: Tensor, lengths: Tensor) -> Tensor:
        """Reflection at a row's true end cannot be had from padding: rows of one length go together."""
        samples = latent.new_zeros(latent.shape[0], latent.shape[1] * SAMPLES_PER_LATENT)
        for length in sorted({int(n) for n in lengths}):
            rows = (lengths == length).nonzero()[:, 0]
            samples[rows, : length * SAMPLES_PER_LATENT] = self._decode_equal(latent[rows, :length], None)
        return samples
