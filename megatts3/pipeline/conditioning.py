"""Everything the DiT is conditioned on, built once per segment (SPEC 6.1–6.3), and what its branches make.

Used alike by the reference path and by the engine: only the loop over steps exists twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from megatts3.models.diffusion_transformer import UNCONDITIONAL_PHONE, UNCONDITIONAL_TONE
from megatts3.pipeline.durations import frame_to_phone
from megatts3.rates import FRAMES_MULTIPLE, FRAMES_PER_LATENT
from megatts3.sampling.guidance import Branch, branch_weights, guide, needed_branches

if TYPE_CHECKING:
    from torch import Tensor

    from megatts3.models.diffusion_transformer import DiffusionTransformer
    from megatts3.pipeline.plan import PlannedSegment
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.params import SamplingParams


# Rows of the two-row tensors below: what a branch is given (0) or spared (1).
_TEXT_OF = {Branch.FULL: 0, Branch.TEXT_ONLY: 0, Branch.UNCONDITIONAL: 1}
_VOICE_OF = {Branch.FULL: 0, Branch.TEXT_ONLY: 1, Branch.UNCONDITIONAL: 1}


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One row's share of the network's input that no step changes.

    branches:     which guidance branches are needed, K of them
    states:       (K, T, D) one a branch
    prompt_mask:  (T, 1) 1 on the prompt span
    prompt:       (Lp, C) the voice's latent
    """

    branches: tuple[Branch, ...]
    states: Tensor
    prompt_mask: Tensor
    prompt: Tensor

    @property
    def latent_frames(self) -> int:
        """T: prompt span and target together."""
        return self.states.shape[1]


def precision(dit: DiffusionTransformer) -> torch.autocast:
    """The context in which a DiT of half precision is called; inert in float32."""
    parameter = next(dit.parameters())
    is_half = parameter.dtype != torch.float32
    dtype = parameter.dtype if is_half else torch.bfloat16
    return torch.autocast(parameter.device.type, dtype=dtype, enabled=is_half)


@torch.inference_mode()
def condition(
    dit: DiffusionTransformer, voice: VoicePrompt, segment: PlannedSegment, params: SamplingParams
) -> Conditioning:
    """The conditioning of one segment, batch of one."""
    with precision(dit):
        return _condition(dit, voice, segment, params)


def _condition(
    dit: DiffusionTransformer, voice: VoicePrompt, segment: PlannedSegment, params: SamplingParams
) -> Conditioning:
    device = next(dit.parameters()).device
    spread = frame_to_phone(voice.durations + segment.durations)
    assert len(spread) % FRAMES_MULTIPLE == 0, f"{len(spread)} frames are no multiple of {FRAMES_MULTIPLE}"
    latent_frames = len(spread) // FRAMES_PER_LATENT
    phones = torch.tensor(voice.phones + segment.phones, device=device)
    tones = torch.tensor(voice.tones + segment.tones, device=device)
    text = dit.encode_text(
        torch.stack((phones, torch.full_like(phones, UNCONDITIONAL_PHONE))),
        torch.stack((tones, torch.full_like(tones, UNCONDITIONAL_TONE))),
        torch.from_numpy(spread).to(device).expand(2, -1),
    )
    prompt = torch.tensor(voice.latent, device=device)
    context = torch.zeros(2, latent_frames, prompt.shape[1], device=device)
    context[0, : len(prompt)] = prompt
    mask = torch.zeros(2, latent_frames, 1, device=device)
    mask[:, : len(prompt)] = 1.0
    local = dit.local_condition(context, mask)
    branches = needed_branches(params.text_guidance, params.speaker_guidance)
    text_rows = torch.stack([text[_TEXT_OF[branch]] for branch in branches])
    local_rows = torch.stack([local[_VOICE_OF[branch]] for branch in branches])
    return Conditioning(branches, dit.conditioning(text_rows, local_rows), mask[0], prompt)


def guided(velocities: Tensor, branches: tuple[Branch, ...], params: SamplingParams) -> Tensor:
    """One velocity (T, C) from those of a row's branches (K, T, C)."""
    if len(branches) == len(Branch):
        full, text_only, unconditional = velocities
        return guide(full, text_only, unconditional, params.text_guidance, params.speaker_guidance)
    weights = branch_weights(params.text_guidance, params.speaker_guidance)
    parts = [weights[branch] * velocity for branch, velocity in zip(branches, velocities, strict=True)]
    return torch.stack(parts).sum(0)
