"""Is a segment's sound speech at all?  Looked at before anybody hears it: NaN, silence, saturation.

Half precision can overflow where float32 does not.  So a segment that fails here is rendered once more with the
DiT in float32; one that fails again is an error.  Silent or broken audio is never handed out.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from megatts3.errors import UnusableSound
from megatts3.pipeline.durations import Disturbance
from megatts3.pipeline.finish import decode_target, finish
from megatts3.pipeline.plan import segment_generator
from megatts3.sampling.noise import RowNoise

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from megatts3.audio.waveform import Waveform
    from megatts3.checkpoint import Networks
    from megatts3.pipeline.plan import PlannedSegment
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.noise import Noise
    from megatts3.sampling.params import SamplingParams

    Denoise = Callable[[Networks, VoicePrompt, PlannedSegment, SamplingParams, Noise], Tensor]

SILENT_PEAK = 1e-4  # -80 dBFS: the quietest speech of mini decodes to a peak above 0.1
FULL_SCALE = 0.999  # the decoder's tanh reaches 1 only where its input has run away …
MAX_FULL_SCALE_SHARE = 0.05  # … and speech has hardly a sample there


def require_sound(samples: Tensor) -> None:
    """Decoded samples (L,), before their loudness is matched; UnusableSound says what is wrong with them."""
    if not bool(samples.isfinite().all()):
        raise UnusableSound("not finite", int((~samples.isfinite()).sum()))
    loud = samples.abs()
    peak = float(loud.max()) if len(loud) else 0.0
    if peak < SILENT_PEAK:
        raise UnusableSound("silent", peak)
    share = float((loud >= FULL_SCALE).float().mean())
    if share > MAX_FULL_SCALE_SHARE:
        raise UnusableSound("clipped", share)


def sound_of(
    networks: Networks,
    samples: Tensor,
    *,
    voice: VoicePrompt,
    segment: PlannedSegment,
    params: SamplingParams,
    denoise: Denoise,
) -> Waveform:
    """A segment's decoded samples (L,) → its sound, checked; the one way from a decoder to what is heard.

    denoise: how one row is denoised alone, for the second try

    Raises UnusableSound where the sound is unusable in float32 as well.
    """
    try:
        require_sound(samples)
    except UnusableSound:
        if not is_half(networks):
            raise
        full = in_full_precision(networks)
        latent = denoise(full, voice, segment, params, _same_noise(voice, segment, params))
        samples = decode_target(full.wavvae, latent, torch.tensor(voice.latent, device=latent.device))
        require_sound(samples)
    return finish(samples, pitch=segment.pitch, loudness_lufs=voice.loudness_lufs)


def is_half(networks: Networks) -> bool:
    """The DiT runs in half precision, so that float32 may succeed where it failed."""
    return next(networks.dit.parameters()).dtype != torch.float32


def in_full_precision(networks: Networks) -> Networks:
    """The same networks with a DiT of float32.  A copy, which is let go after use: second tries are rare."""
    return replace(networks, dit=copy.deepcopy(networks.dit).float())


def _same_noise(voice: VoicePrompt, segment: PlannedSegment, params: SamplingParams) -> RowNoise:
    """The noise that the first try had: drawn behind the durations' disturbance, as plan_segment leaves it."""
    draws = segment_generator(params.seed, segment.index)
    Disturbance.draw(draws, len(segment.phones))
    return RowNoise(draws, voice.latent_frames + segment.latent_frames)
