"""Everything the DiT is conditioned on, built once per segment (SPEC 6.1–6.3), and what its branches make.

Used alike by the reference path and by the engine: only the loop over steps exists twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from megatts3.models.diffusion_transformer import UNCONDITIONAL_PHONE, UNCONDITIONAL_TONE
from megatts3.pipeline.durations import frame_to_phone
from megatts3.rates import FRAMES_MULTIPLE
from megatts3.sampling.guidance import Branch, branch_weights, guide, needed_branches

if TYPE_CHECKING:
    from collections.abc import Sequence

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


@dataclass(frozen=True, eq=False)
class VoicePart:
    """What a voice alone adds to the conditioning: the same in all its segments.

    prompt: (Lp, C) its latent
    heard:  (Lp, D) on the prompt span, of branches that are given the voice
    spared: (2, 1, D) on the prompt span of those that are not, and on the target
    """

    prompt: Tensor
    heard: Tensor
    spared: Tensor

    @property
    def size_bytes(self) -> int:
        return sum(x.numel() * x.element_size() for x in (self.prompt, self.heard, self.spared))


@torch.inference_mode()
def voice_part(dit: DiffusionTransformer, voice: VoicePrompt) -> VoicePart:
    """Computed once per voice (SPEC 6.3: both layers are linear in each frame alone)."""
    device = next(dit.parameters()).device
    prompt = torch.tensor(voice.latent, device=device)
    with precision(dit):
        heard = dit.prenet(dit.local_condition(prompt[None], torch.ones(1, len(prompt), 1, device=device)))
        nothing = torch.zeros(2, 1, prompt.shape[1], device=device)
        spared = dit.prenet(dit.local_condition(nothing, torch.tensor([[[1.0]], [[0.0]]], device=device)))
    return VoicePart(prompt, heard[0], spared)


def condition(
    dit: DiffusionTransformer, voice: VoicePrompt, segment: PlannedSegment, params: SamplingParams
) -> Conditioning:
    """The conditioning of one segment, batch of one."""
    return condition_rows(dit, [(voice, segment, params)], [voice_part(dit, voice)])[0]


@torch.inference_mode()
def condition_rows(
    dit: DiffusionTransformer,
    rows: Sequence[tuple[VoicePrompt, PlannedSegment, SamplingParams]],
    parts: Sequence[VoicePart],
) -> list[Conditioning]:
    """The conditioning of some segments, padded on the right to one batch; each is as it is alone (SPEC 10.2)."""
    with precision(dit):
        text = _text_rows(dit, rows)
    found = []
    for (voice, segment, params), own, part in zip(rows, text, parts, strict=True):
        prompt = part.prompt
        frames = len(prompt) + segment.latent_frames
        branches = needed_branches(params.text_guidance, params.speaker_guidance)
        states = torch.stack([own[_TEXT_OF[branch], :frames] for branch in branches]).to(part.heard.dtype)
        for place, branch in enumerate(branches):
            states[place, : len(prompt)] += part.heard if _VOICE_OF[branch] == 0 else part.spared[0]
        states[:, len(prompt) :] += part.spared[1]
        mask = torch.zeros(frames, 1, device=states.device)
        mask[: len(prompt)] = 1.0
        assert len(prompt) == voice.latent_frames
        found.append(Conditioning(branches, states, mask, prompt))
    return found


def _text_rows(dit: DiffusionTransformer, rows: Sequence[tuple[VoicePrompt, PlannedSegment, SamplingParams]]) -> Tensor:
    """Text states with their text and without it, (B, 2, T, D)."""
    device = next(dit.parameters()).device
    spread = [torch.from_numpy(frame_to_phone(voice.durations + segment.durations)) for voice, segment, _ in rows]
    for frames in spread:
        assert len(frames) % FRAMES_MULTIPLE == 0, f"{len(frames)} frames are no multiple of {FRAMES_MULTIPLE}"
    phones = [torch.tensor(voice.phones + segment.phones) for voice, segment, _ in rows]
    tones = [torch.tensor(voice.tones + segment.tones) for voice, segment, _ in rows]
    encoded = dit.encode_text(
        _pad([both for row in phones for both in (row, torch.full_like(row, UNCONDITIONAL_PHONE))]).to(device),
        _pad([both for row in tones for both in (row, torch.full_like(row, UNCONDITIONAL_TONE))]).to(device),
        _pad([row for row in spread for _ in range(2)]).to(device),
    )
    return encoded.reshape(len(rows), 2, *encoded.shape[1:])


def _pad(rows: Sequence[Tensor]) -> Tensor:
    return pad_sequence(list(rows), batch_first=True)


def guided(velocities: Tensor, branches: tuple[Branch, ...], params: SamplingParams) -> Tensor:
    """One velocity (T, C) from those of a row's branches (K, T, C)."""
    if len(branches) == len(Branch):
        full, text_only, unconditional = velocities
        return guide(full, text_only, unconditional, params.text_guidance, params.speaker_guidance)
    weights = branch_weights(params.text_guidance, params.speaker_guidance)
    parts = [weights[branch] * velocity for branch, velocity in zip(branches, velocities, strict=True)]
    return torch.stack(parts).sum(0)
