"""Which forward this machine runs: the first of those that suit the device which agrees with the network.

A forward is taken only when it gives what the network's own gives on a row made for the purpose; whatever raises
or disagrees is left out, and the plain padded forward is always there.  None is chosen by a stopwatch: in half
precision two forwards differ in their last bits, and workers that measured differently would speak differently.
"""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from megatts3.engine.batch import RowState
from megatts3.engine.cuda_graphs import GraphedVelocity, round_frames
from megatts3.engine.forwards import Forward, PackedForward, PaddedForward
from megatts3.engine.row_failure import is_fatal
from megatts3.models.packed_dit import fused_attention, plain_attention
from megatts3.pipeline.conditioning import Conditioning
from megatts3.pipeline.plan import PlannedSegment
from megatts3.pipeline.voice import VoicePrompt
from megatts3.rates import FRAMES_PER_LATENT, LATENT_CHANNELS
from megatts3.sampling.guidance import Branch
from megatts3.sampling.noise import RowNoise
from megatts3.sampling.params import SamplingParams
from megatts3.sampling.solver import SOLVERS
from megatts3.sampling.time_grid import GRIDS
from megatts3.text.phones import NO_TONE, SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from megatts3.checkpoint import Networks
    from megatts3.engine.config import EngineConfig

log = logging.getLogger(__name__)

TYPICAL_PROMPT_FRAMES = 128  # 5 s
TYPICAL_LATENT_FRAMES = 256  # 10 s with the prompt
# Largest difference from the network's own velocity, against the largest value of that.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}


@torch.inference_mode()
def choose_forward(networks: Networks, config: EngineConfig) -> Forward:
    """The forward to run, checked."""
    dit = networks.dit
    dtype = next(dit.parameters()).dtype
    is_cuda = networks.device.type == "cuda"
    plain = PaddedForward(dit)
    makes: dict[str, Callable[[], Forward]] = {}
    if is_cuda and config.forward != "packed":
        graphed = GraphedVelocity(dit.velocity, networks.device)
        makes["recorded"] = lambda: PaddedForward(dit, graphed, round_frames)
    if config.forward == "packed" or (config.forward == "auto" and not is_cuda):
        if dtype != torch.float32 and not is_cuda:  # there the fused kernel is no faster than in float32
            makes["packed, plain attention"] = lambda: PackedForward.of(dit, dtype, plain_attention)
        makes["packed"] = lambda: PackedForward.of(dit, dtype, fused_attention)
    for name, make in makes.items():
        if (found := _checked(name, make, plain, networks)) is not None:
            log.info("forward_chosen name=%r", name)
            return found
    return plain


def _checked(name: str, make: Callable[[], Forward], plain: Forward, networks: Networks) -> Forward | None:
    row = typical_row(networks, latent_frames=48, prompt_frames=20)
    try:
        forward = make()
        for _ in range(3):  # a recorded one is recorded at the second time and replayed at the third
            (found,) = forward.velocities([row], [1])
        (wanted,) = plain.velocities([row], [1])
        difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-9))
    except Exception as error:
        if is_fatal(error):
            raise
        log.warning("forward_unusable name=%r error=%s", name, type(error).__name__)
        return None
    if not difference <= _TOLERANCE[next(networks.dit.parameters()).dtype]:
        log.warning("forward_disagrees name=%r difference=%.3g", name, difference)
        return None
    forward.forget_rows()
    return forward


@torch.inference_mode()
def typical_row(
    networks: Networks,
    *,
    latent_frames: int = TYPICAL_LATENT_FRAMES,
    prompt_frames: int = TYPICAL_PROMPT_FRAMES,
) -> RowState:
    """A row of noise as long as a sentence, to measure and to check with."""
    draws = torch.Generator().manual_seed(latent_frames)
    device, width = networks.device, networks.dit.config.dim
    prompt = torch.randn(prompt_frames, LATENT_CHANNELS, generator=draws)
    mask = (torch.arange(latent_frames) < prompt_frames).float()[:, None]
    states = torch.randn(len(Branch), latent_frames, width, generator=draws)
    frames = FRAMES_PER_LATENT * prompt_frames
    params = SamplingParams(steps=2)
    grid = GRIDS[params.grid](params.steps)
    rest = FRAMES_PER_LATENT * (latent_frames - prompt_frames)
    return RowState(
        segment=PlannedSegment(0, "", (SILENCE,), (NO_TONE,), (rest,)),
        voice=VoicePrompt(prompt.numpy(), (SILENCE,), (NO_TONE,), (frames,), loudness_lufs=-24.0),
        params=params,
        given=Conditioning(
            tuple(Branch),
            states.to(device, next(networks.dit.parameters()).dtype),
            mask.to(device),
            prompt.to(device),
        ),
        noise=RowNoise(draws, latent_frames),
        grid=grid,
        moves=tuple(SOLVERS[params.solver](t, t_next) for t, t_next in pairwise(grid)),
        x=torch.randn(latent_frames - prompt_frames, LATENT_CHANNELS, generator=draws).to(device),
    )
