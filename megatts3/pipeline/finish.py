"""Latent → the segment's Waveform: decode, pitch, loudness (SPEC 8.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from megatts3.audio import loudness
from megatts3.audio.resample import stretch
from megatts3.audio.waveform import Waveform
from megatts3.rates import SAMPLE_RATE, SAMPLES_PER_LATENT

if TYPE_CHECKING:
    from torch import Tensor

    from megatts3.models.wavvae import WaveVAE


@torch.inference_mode()
def decode_target(wavvae: WaveVAE, latent: Tensor, prompt: Tensor) -> Tensor:
    """Samples of what follows the prompt.

    latent: (T, C) the sampler's result; its prompt span is replaced by
    prompt: (Lp, C)
    returns (960 · (T − Lp),).  Only so much of the prompt is decoded as reaches into the target.
    """
    context = min(len(prompt), wavvae.context_latents)
    tail = torch.cat((prompt[len(prompt) - context :], latent[len(prompt) :]))
    samples: Tensor = wavvae.decode(tail[None])[0]
    return samples[context * SAMPLES_PER_LATENT :]


def finish(samples: Tensor, *, pitch: float, loudness_lufs: float) -> Waveform:
    """Decoded samples (L,) → what is heard: shifted in pitch, as loud as the voice's reference; float64."""
    decoded = Waveform(samples.float().cpu().numpy(), SAMPLE_RATE)
    return loudness.match(stretch(decoded, pitch), loudness_lufs)
