"""Plan → waveform, one segment after another: the slow, obvious reference.  The engine must equal it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from megatts3.audio.join import join
from megatts3.pipeline.conditioning import condition, guided, precision
from megatts3.pipeline.finish import decode_target
from megatts3.pipeline.plan import Frontend, duration_prompt, plan_segment, segment_generator
from megatts3.pipeline.sound_check import sound_of
from megatts3.sampling.noise import RowNoise
from megatts3.sampling.solver import SOLVERS, sample_latent
from megatts3.sampling.time_grid import GRIDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from megatts3.audio.waveform import Waveform
    from megatts3.checkpoint import Networks
    from megatts3.pipeline.plan import PlannedSegment
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.noise import Noise
    from megatts3.sampling.params import SamplingParams


def synthesize(
    networks: Networks, frontend: Frontend, text: str, voice: VoicePrompt, params: SamplingParams
) -> Waveform:
    """Speak a text."""
    return join(list(speak_segments(networks, frontend, text, voice, params)))


def speak_segments(
    networks: Networks,
    frontend: Frontend,
    text: str,
    voice: VoicePrompt,
    params: SamplingParams,
    *,
    source: Callable[[int], torch.Generator] | None = None,
) -> Iterator[Waveform]:
    """The segments of a text, each as it is finished.

    source: a segment's generator by its index, from which come its durations' disturbance and then
        its noise; by default seeded by the request's seed and the index
    """
    phonemized = frontend.segments(text)
    prompt = duration_prompt(networks, voice)
    for index, segment in enumerate(phonemized):
        draws = segment_generator(params.seed, index) if source is None else source(index)
        planned = plan_segment(networks, prompt, segment, index, len(phonemized), params, draws)
        noise = RowNoise(draws, voice.latent_frames + planned.latent_frames)
        yield render(networks, voice, planned, params, noise)


def render(
    networks: Networks, voice: VoicePrompt, segment: PlannedSegment, params: SamplingParams, noise: Noise
) -> Waveform:
    """One segment's sound, 24 kHz."""
    latent = denoise(networks, voice, segment, params, noise)
    samples = decode_target(networks.wavvae, latent, torch.tensor(voice.latent, device=latent.device))
    return sound_of(networks, samples, voice=voice, segment=segment, params=params, denoise=denoise)


@torch.inference_mode()
def denoise(
    networks: Networks, voice: VoicePrompt, segment: PlannedSegment, params: SamplingParams, noise: Noise
) -> Tensor:
    """Noise → latent (T, C), prompt span included."""
    given = condition(networks.dit, voice, segment, params)
    rows = len(given.branches)
    mask = given.prompt_mask.expand(rows, -1, -1)

    def velocity(x: Tensor, t: float) -> Tensor:
        times = torch.full((rows,), t, device=mask.device)
        here = x.to(mask.device).expand(rows, -1, -1)  # noise, and so x, is on the CPU
        with precision(networks.dit):
            velocities = networks.dit.velocity(here, times, given.states, mask)
        return guided(velocities.float(), given.branches, params).to(x.device)

    return sample_latent(velocity, noise, GRIDS[params.grid](params.steps), SOLVERS[params.solver])
