"""Latent → the segment's Waveform: decode, pitch, loudness (SPEC 8.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from megatts3.audio import loudness
from megatts3.audio.pitch_shift import shift_pitch
from megatts3.audio.waveform import Waveform
from megatts3.rates import SAMPLE_RATE, SAMPLES_PER_LATENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from megatts3.models.wavvae import WaveVAE


@dataclass(frozen=True, eq=False)
class Window:
    """The latents that are decoded for one segment: what precedes the target as far as it is heard, and the target.

    A decoder may anchor what it makes at the window's start, so every path decodes this very window.

    latents: (N, C)
    context: how many of them, on the left, are the prompt's; they are not heard
    """

    latents: Tensor
    context: int


def target_window(wavvae: WaveVAE, target: Tensor, prompt: Tensor) -> Window:
    """What is decoded of a target (T - Lp, C) that follows a prompt (Lp, C): so much of that as reaches into it."""
    context = min(len(prompt), wavvae.context_latents)
    return Window(torch.cat((prompt[len(prompt) - context :], target)), context)


@torch.inference_mode()
def decode_windows(wavvae: WaveVAE, windows: Sequence[Window]) -> list[Tensor]:
    """Samples of each window's target, (960 · (N - context),); each as if it were decoded alone."""
    if len(windows) == 1:
        decoded = [wavvae.decode(windows[0].latents[None])[0]]
    else:
        lengths = torch.tensor([len(window.latents) for window in windows], device=windows[0].latents.device)
        padded = pad_sequence([window.latents for window in windows], batch_first=True)
        decoded = list(wavvae.decode(padded, lengths))
    return [
        samples[window.context * SAMPLES_PER_LATENT : len(window.latents) * SAMPLES_PER_LATENT]
        for window, samples in zip(windows, decoded, strict=True)
    ]


def decode_target(wavvae: WaveVAE, latent: Tensor, prompt: Tensor) -> Tensor:
    """Samples of what follows the prompt, (960 · (T - Lp),).

    latent: (T, C) the sampler's result; its prompt span is replaced by
    prompt: (Lp, C)
    """
    return decode_windows(wavvae, [target_window(wavvae, latent[len(prompt) :], prompt)])[0]


def finish(samples: Tensor, *, pitch: float, loudness_lufs: float) -> Waveform:
    """Decoded samples (L,) → what is heard: shifted in pitch, as loud as the voice's reference; float64."""
    decoded = Waveform(samples.float().cpu().numpy(), SAMPLE_RATE)
    return loudness.match(shift_pitch(decoded, pitch), loudness_lufs)
