"""The light decoder of the WaveVAE that small checkpoints use: a voice is a source and a filter.

Convolutions at 25 and 100 Hz say, for every 10 ms, how high the voice is and how loud each frequency is in its
harmonics and in its noise.  A pulse train of that pitch and a fixed noise are shaped in short-time spectra and laid
over one another.  Nothing has to be learnt that is known of speech beforehand, so it learns from little: periods,
which a decoder of free phases needs days for, are right from the start.  Not part of the official release.  The ideas
are those of source-filter synthesis (Fant 1960) and DDSP (Engel et al. 2020).

The pulses' phase is a sum over time, in which rounding differences of a latent add up; so it begins anew wherever a
voice starts, at the latest after the next pause for breath.  The noise begins with the window that is decoded: more
context to the left gives other samples of the same sound.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from megatts3.rates import SAMPLE_RATE

LOWEST_HZ, HIGHEST_HZ = 50.0, 550.0
_KERNEL = 7
_EXPANSION = 3
_LATENT_TO_FRAME = 4
_MAX_LOG_MAGNITUDE = 5.0
_FIRST_LOG_MAGNITUDE = -3.0
_HIGHEST_HARMONIC = 0.97  # of half the sample rate
_VOICE_BINS = slice(2, 40)  # 50 Hz … 1 kHz at 25 Hz a bin
_NOISE_SAMPLES = 1 << 18  # 11 s before it repeats
_NOISE_SEED = 20_260_701


class ConvNeXtBlock(nn.Module):
    """(B, D, F) → (B, D, F): depthwise convolution, norm, two pointwise layers, learned scale, residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(dim, dim, _KERNEL, padding=_KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, _EXPANSION * dim)
        self.reduce = nn.Linear(_EXPANSION * dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.2))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.norm(self.depthwise(_masked(x, mask)).transpose(1, 2))
        y = self.reduce(functional.gelu(self.expand(y)))
        # Under autocast the residual stream stays in single precision.
        total: Tensor = x + (self.scale * y).transpose(1, 2).float()
        return total


class SourceFilterDecoder(nn.Module):
    """(B, T, C_in) at 25 Hz → (B, 1, 960 · T)."""

    window: Tensor
    noise: Tensor

    def __init__(self, in_channels: int, dim: int, *, prenet_layers: int, layers: int, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.conv_in = nn.Conv1d(in_channels, dim, 5, padding=2)
        self.prenet = nn.ModuleList([ConvNeXtBlock(dim) for _ in range(prenet_layers)])
        self.upsample = nn.ConvTranspose1d(
            dim, dim, 2 * _LATENT_TO_FRAME, _LATENT_TO_FRAME, padding=_LATENT_TO_FRAME // 2
        )
        self.blocks = nn.ModuleList([ConvNeXtBlock(dim) for _ in range(layers)])
        self.norm = nn.LayerNorm(dim)
        self.pitch_head = nn.Linear(dim, 1)
        self.filter_head = nn.Linear(dim, 2 * (n_fft // 2 + 1))
        nn.init.constant_(self.filter_head.bias, _FIRST_LOG_MAGNITUDE)
        noise = np.random.default_rng(_NOISE_SEED).standard_normal(_NOISE_SAMPLES).astype(np.float32)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("noise", torch.from_numpy(noise), persistent=False)

    @property
    def context_latents(self) -> int:
        """Latents of context for the pitch and filters of a full decode: kernel radii at both rates, half a window."""
        radius = _KERNEL // 2
        frames = radius * len(self.blocks) + -(-(self.n_fft // 2) // self.hop) + 1
        return 2 + radius * len(self.prenet) + 1 + -(-frames // _LATENT_TO_FRAME)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x: (B, T, C_in); lengths: (B,) latents per row; a padded row gives what it gives alone."""
        return self.pitch_and_samples(x, lengths)[1]

    def pitch_and_samples(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Log F0 in Hz (B, F) at 100 Hz, meaningful where there is voice; samples (B, 1, 960 · T)."""
        mask = _length_mask(lengths, x.shape[1])
        frame_mask = None if mask is None else mask.repeat_interleave(_LATENT_TO_FRAME, dim=2)
        h = self.conv_in(_masked(x.transpose(1, 2), mask)).float()
        for block in self.prenet:
            h = block(h, mask)
        h = self.upsample(_masked(h, mask)).float()
        for block in self.blocks:
            h = block(h, frame_mask)
        with torch.autocast(h.device.type, enabled=False):
            h = self.norm(h.transpose(1, 2)).float()
            log_f0 = _log_f0(self.pitch_head(h)[..., 0])
            magnitudes = torch.exp(self.filter_head(h).clamp(max=_MAX_LOG_MAGNITUDE)).transpose(1, 2)
            harmonic, noisy = magnitudes.chunk(2, dim=1)
            starts = _voice_starts(*magnitudes.detach().chunk(2, dim=1))
            pulses = _pulses(_held(log_f0.detach().exp(), lengths), starts, self.hop)
            noise = self._noise(pulses)
            if frame_mask is not None:  # a row's last frames look beyond its end, where alone there is nothing
                within = frame_mask[:, 0].repeat_interleave(self.hop, dim=1)
                pulses, noise = pulses * within, noise * within
            spectrum = self._spectrum(pulses) * harmonic + self._spectrum(noise) * noisy
            return log_f0, self._overlap_add(spectrum, frame_mask)

    def _noise(self, like: Tensor) -> Tensor:
        """The same noise for every row, from its first sample on.  (B, L)"""
        repeats = -(-like.shape[1] // len(self.noise))
        return self.noise.repeat(repeats)[: like.shape[1]].expand(like.shape)

    def _spectrum(self, samples: Tensor) -> Tensor:
        """(B, hop · F) → (B, n_fft / 2 + 1, F); frame f is centred on the middle of its own hop."""
        side = (self.n_fft - self.hop) // 2
        padded = functional.pad(samples, (side, side))
        frames = padded.unfold(1, self.n_fft, self.hop) * self.window
        spectrum: Tensor = torch.fft.rfft(frames, dim=2).transpose(1, 2)
        return spectrum

    def _overlap_add(self, spectrum: Tensor, frame_mask: Tensor | None) -> Tensor:
        """(B, n_fft / 2 + 1, F) → (B, 1, hop · F)."""
        frames = torch.fft.irfft(spectrum, n=self.n_fft, dim=1) * self.window[:, None]
        weights = (self.window**2)[None, :, None].expand(frames.shape)
        if frame_mask is not None:
            frames, weights = frames * frame_mask, weights * frame_mask
        return self._fold(frames) / self._fold(weights).clamp(min=1e-6)

    def _fold(self, frames: Tensor) -> Tensor:
        count = frames.shape[-1]
        length = (count - 1) * self.hop + self.n_fft
        folded = functional.fold(frames, (1, length), (1, self.n_fft), stride=(1, self.hop))[:, :, 0]
        trim = (self.n_fft - self.hop) // 2
        return folded[..., trim : trim + count * self.hop]


def _log_f0(raw: Tensor) -> Tensor:
    low, high = math.log(LOWEST_HZ), math.log(HIGHEST_HZ)
    return low + (high - low) * torch.sigmoid(raw)


def _held(f0: Tensor, lengths: Tensor | None) -> Tensor:
    """(B, F): behind a row's end its last value goes on, as interpolation takes it at the end of a row alone."""
    if lengths is None:
        return f0
    positions = torch.arange(f0.shape[1], device=f0.device)[None]
    return f0.gather(1, torch.minimum(positions, lengths[:, None] * _LATENT_TO_FRAME - 1))


def _voice_starts(harmonic: Tensor, noisy: Tensor) -> Tensor:
    """(B, bins, F) twice → (B, F) bool: frames where the harmonics come to outweigh the noise, below 1 kHz."""
    voiced = harmonic[:, _VOICE_BINS].log().mean(1) > noisy[:, _VOICE_BINS].log().mean(1)
    before = functional.pad(voiced[:, :-1], (1, 0), value=False)
    return voiced & ~before


def _pulses(f0: Tensor, starts: Tensor, hop: int) -> Tensor:
    """All cosines of whole multiples of f0 at one height, power 1; their phases begin anew where a voice starts.

    f0: (B, F) Hz at frames' middles;  starts: (B, F) bool;  returns: (B, hop · F)
    """
    hz = functional.interpolate(f0[:, None], scale_factor=hop, mode="linear", align_corners=False)[:, 0]
    total = functional.pad(torch.cumsum(hz.double() / SAMPLE_RATE, dim=1), (1, 0))  # cycles before each sample
    frames = torch.arange(f0.shape[1], device=f0.device).expand(f0.shape)
    last_start = torch.cummax(torch.where(starts, frames, 0), dim=1).values
    cycles = total[:, 1:] - total.gather(1, (last_start * hop).repeat_interleave(hop, dim=1))
    turn = (cycles - cycles.floor()).float()
    count = torch.floor(_HIGHEST_HARMONIC * SAMPLE_RATE / 2 / hz)
    # Σₖ₌₁ᴷ cos 2πkφ = ½ (sin((2K + 1)πφ) / sin(πφ) - 1), Dirichlet's kernel
    below = torch.sin(math.pi * turn)
    is_peak = below.abs() < 1e-4
    ratio = torch.sin((2 * count + 1) * math.pi * turn) / torch.where(is_peak, torch.ones_like(below), below)
    kernel = 0.5 * (torch.where(is_peak, 2 * count + 1, ratio) - 1)
    return kernel * torch.sqrt(2 / count)


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _length_mask(lengths: Tensor | None, longest: int) -> Tensor | None:
    """(B,) → (B, 1, T) of ones and zeros."""
    if lengths is None:
        return None
    return (torch.arange(longest, device=lengths.device)[None] < lengths[:, None])[:, None].float()
