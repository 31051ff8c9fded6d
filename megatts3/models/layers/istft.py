"""The light decoder of the WaveVAE that small checkpoints use: ConvNeXt blocks and an inverse STFT.

A waveform of the official form costs most of its time at 24 kHz; this one never leaves 100 Hz and lets the
inverse STFT do the rest, so that it trains and runs on a laptop.  Not part of the official release.  The idea is
that of Vocos (Siuzdak 2023): predict magnitude and phase, then overlap-add with "same" framing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_KERNEL = 7
_EXPANSION = 3
_LATENT_TO_FRAME = 4
_MAX_LOG_MAGNITUDE = 6.0
_SILENT_LOG_MAGNITUDE = -30.0


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
        # Under autocast the residual stream and what becomes phase stay in single precision.
        total: Tensor = x + (self.scale * y).transpose(1, 2).float()
        return total


class ISTFTDecoder(nn.Module):
    """(B, T, C_in) at 25 Hz → (B, 1, 960 · T)."""

    window: Tensor

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
        self.head = nn.Linear(dim, n_fft + 2)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def context_latents(self) -> int:
        """Latents of context that reproduce a full decode: kernel radii at 25 Hz and 100 Hz, and half a window."""
        radius = _KERNEL // 2
        frames = radius * len(self.blocks) + -(-(self.n_fft // 2) // self.hop) + 1
        return 2 + radius * len(self.prenet) + 1 + -(-frames // _LATENT_TO_FRAME)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """x: (B, T, C_in); lengths: (B,) latents per row; a padded row gives what it gives alone."""
        mask = _length_mask(lengths, x.shape[1])
        frame_mask = None if mask is None else mask.repeat_interleave(_LATENT_TO_FRAME, dim=2)
        h = self.conv_in(_masked(x.transpose(1, 2), mask)).float()
        for block in self.prenet:
            h = block(h, mask)
        h = self.upsample(_masked(h, mask)).float()
        for block in self.blocks:
            h = block(h, frame_mask)
        with torch.autocast(h.device.type, enabled=False):
            spectrum = self.head(self.norm(h.transpose(1, 2))).transpose(1, 2)
            return self._overlap_add(_masked(spectrum, frame_mask, fill=_SILENT_LOG_MAGNITUDE), frame_mask)

    def _overlap_add(self, spectrum: Tensor, frame_mask: Tensor | None) -> Tensor:
        """(B, n_fft + 2, F) log-magnitudes and phases → (B, 1, hop · F); frame f is centred on its own hop."""
        log_magnitude, phase = spectrum.chunk(2, dim=1)
        magnitude = torch.exp(log_magnitude.clamp(max=_MAX_LOG_MAGNITUDE))
        frames = torch.fft.irfft(torch.polar(magnitude, phase), n=self.n_fft, dim=1) * self.window[:, None]
        if frame_mask is not None:
            frames = frames * frame_mask
        samples = self._fold(frames)
        weights = (self.window**2)[None, :, None].expand(frames.shape)
        if frame_mask is not None:
            weights = weights * frame_mask
        return samples / self._fold(weights).clamp(min=1e-6)

    def _fold(self, frames: Tensor) -> Tensor:
        count = frames.shape[-1]
        length = (count - 1) * self.hop + self.n_fft
        folded = functional.fold(frames, (1, length), (1, self.n_fft), stride=(1, self.hop))[:, :, 0]
        trim = (self.n_fft - self.hop) // 2
        return folded[..., trim : trim + count * self.hop]


def _masked(x: Tensor, mask: Tensor | None, *, fill: float = 0.0) -> Tensor:
    if mask is None:
        return x
    return x * mask if fill == 0.0 else torch.where(mask.bool(), x, fill)


def _length_mask(lengths: Tensor | None, longest: int) -> Tensor | None:
    """(B,) → (B, 1, T) of ones and zeros."""
    if lengths is None:
        return None
    return (torch.arange(longest, device=lengths.device)[None] < lengths[:, None])[:, None].float()
