"""Text and a voice → Plan: segments with phones and durations.  No diffusion yet.

The seam between planning and rendering: a dry run stops here, word times come from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from megatts3.audio.join import OVERLAP_S
from megatts3.errors import UnknownPhone
from megatts3.models.duration_lm import DurationLM, DurationPrompt, continue_durations
from megatts3.pipeline.durations import Disturbance, durations_from_tokens, prompt_tokens
from megatts3.rates import FRAME_RATE, FRAMES_PER_LATENT
from megatts3.sampling.noise import generator, segment_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from megatts3.checkpoint import Networks
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.params import SamplingParams


class Phonemized(Protocol):
    """A segment as the text front end gives it."""

    @property
    def text(self) -> str: ...
    @property
    def phones(self) -> tuple[int, ...]: ...
    @property
    def tones(self) -> tuple[int, ...]: ...


class Frontend(Protocol):
    """Text → segments; raises TextEmpty where nothing can be spoken.  Safe between threads."""

    def segments(self, text: str, /) -> Sequence[Phonemized]: ...


@dataclass(frozen=True)
class PlannedSegment:
    """A piece of text that is synthesized in one pass.

    phones, tones: (S,)
    durations:     (S,) frames of 10 ms; the sum is a multiple of 8
    pitch:         factor on the rendered sound's pitch; its length stays
    """

    index: int
    text: str
    phones: tuple[int, ...]
    tones: tuple[int, ...]
    durations: tuple[int, ...]
    pitch: float = 1.0

    @property
    def frames(self) -> int:
        return sum(self.durations)

    @property
    def latent_frames(self) -> int:
        return self.frames // FRAMES_PER_LATENT

    @property
    def duration_s(self) -> float:
        """Of its sound, before it is joined to its neighbours."""
        return self.frames / FRAME_RATE


@dataclass(frozen=True)
class Plan:
    """What will be spoken, and how long it takes to say."""

    segments: tuple[PlannedSegment, ...]

    @property
    def predicted_s(self) -> float:
        """Of the joined waveform."""
        seams = max(0, len(self.segments) - 1)
        return sum(segment.duration_s for segment in self.segments) - OVERLAP_S * seams


def plan(
    networks: Networks,
    frontend: Frontend,
    text: str,
    voice: VoicePrompt,
    params: SamplingParams,
    *,
    source: Callable[[int], torch.Generator] | None = None,
) -> Plan:
    """Plan a whole text.  `source` gives each segment's generator; by default from its own seed."""
    phonemized = frontend.segments(text)
    prompt = duration_prompt(networks, voice)
    found = []
    for index, segment in enumerate(phonemized):
        draws = segment_generator(params.seed, index) if source is None else source(index)
        found.append(plan_segment(networks, prompt, segment, index, len(phonemized), params, draws))
    return Plan(tuple(found))


def segment_generator(seed: int, index: int) -> torch.Generator:
    """All draws of one segment come from here: first for its durations, then its noise."""
    return generator(segment_seed(seed, index))


@torch.inference_mode()
def duration_prompt(networks: Networks, voice: VoicePrompt) -> DurationPrompt:
    """The duration LM's state after the voice's own phones (SPEC 5.4); good for all its segments."""
    kept = [i for i, phone in enumerate(voice.phones) if phone != 0]
    require_known(networks, voice.phones, voice.tones)
    tokens = prompt_tokens([voice.durations[i] for i in kept])

    def row(values: Sequence[int]) -> torch.Tensor:
        return torch.tensor([values], device=networks.device)

    phones, tones = row([voice.phones[i] for i in kept]), row([voice.tones[i] for i in kept])
    lm: DurationLM = networks.duration_lm
    return lm.prompt(phones, tones, row(tokens))


@torch.inference_mode()
def plan_segment(
    networks: Networks,
    prompt: DurationPrompt,
    segment: Phonemized,
    index: int,
    count: int,
    params: SamplingParams,
    draws: torch.Generator,
) -> PlannedSegment:
    """Durations of segment `index` of `count`; takes its disturbance from `draws`."""
    return plan_from_tokens(segment_tokens(networks, prompt, segment), segment, index, count, params, draws)


@torch.inference_mode()
def segment_tokens(networks: Networks, prompt: DurationPrompt, segment: Phonemized) -> list[int]:
    """The duration LM's tokens of one segment, asked alone. (S,)"""
    require_known(networks, segment.phones, segment.tones)
    lm: DurationLM = networks.duration_lm
    phones = torch.tensor([segment.phones], device=networks.device)
    tones = torch.tensor([segment.tones], device=networks.device)
    tokens: list[int] = continue_durations(lm, prompt, phones, tones)[0].tolist()
    return tokens


def plan_from_tokens(
    tokens: Sequence[int],
    segment: Phonemized,
    index: int,
    count: int,
    params: SamplingParams,
    draws: torch.Generator,
) -> PlannedSegment:
    """The same from tokens (S,) that are known."""
    durations = durations_from_tokens(
        tokens,
        segment.phones,
        is_first=index == 0,
        is_last=index == count - 1,
        disturbance=Disturbance.draw(draws, len(segment.phones)),
        alpha=1.0 / params.speed,
        pause_scale=1.0 / params.speed,
    )
    return PlannedSegment(
        index=index,
        text=segment.text,
        phones=segment.phones,
        tones=segment.tones,
        durations=durations,
        pitch=params.pitch,
    )


def require_known(networks: Networks, phones: Sequence[int], tones: Sequence[int]) -> None:
    """UnknownPhone for an id outside the tables: on a GPU it would end the whole process."""
    config = networks.duration_lm.config
    for phone, tone in zip(phones, tones, strict=True):
        if not (0 <= phone < config.phone_vocab and 0 <= tone < config.tone_vocab):
            raise UnknownPhone(phone)
