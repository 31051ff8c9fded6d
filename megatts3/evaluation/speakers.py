"""Those who are judged: the teacher, the teacher through the WaveVAE, and the checkpoint with two kinds of prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Networks
from megatts3.evaluation.cases import Case
from megatts3.pipeline.plan import Frontend
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.voice import VoicePrompt, prepare_voice
from megatts3.rates import SAMPLE_RATE
from megatts3.sampling.params import SamplingParams
from megatts3.training.data import Corpus, Entry
from megatts3.training.voices import exact_voice


class Column(StrEnum):
    """Who speaks, in the report's order."""

    TEACHER = "teacher"  # the engine that made the corpus
    CODEC = "codec"  # teacher → latent → sound: the WaveVAE's share of all errors
    EXACT = "exact"  # the checkpoint, told what is said when in the prompt: all but the aligner's share
    PRODUCT = "product"  # the checkpoint as it is used


@dataclass(frozen=True, eq=False)
class Spoken:
    """waveform: 24 kHz; asked: (phone, tone) it should contain; took_s: to speak, the voice being ready."""

    waveform: Waveform
    asked: tuple[tuple[int, int], ...]
    took_s: float


Speaker = Callable[[Case], Spoken]


def speakers(
    networks: Networks, corpus: Corpus, frontend: Frontend, params: SamplingParams
) -> Mapping[Column, Speaker]:
    """All four.  A call may raise InputError's kinds, AlignmentFailed for one, of the product's voice preparation."""

    def clip(entry: Entry) -> Waveform:
        return Waveform(corpus.audio(entry), SAMPLE_RATE)

    def asked(entry: Entry) -> tuple[tuple[int, int], ...]:
        return tuple(zip(entry.phones.tolist(), entry.tones.tolist(), strict=True))

    def teacher(case: Case) -> Spoken:
        return Spoken(clip(case.target), asked(case.target), 0.0)

    def codec(case: Case) -> Spoken:
        started = time.perf_counter()
        samples = reconstruct(networks, clip(case.target).samples)
        return Spoken(Waveform(samples, SAMPLE_RATE), asked(case.target), time.perf_counter() - started)

    def reader(voice_of: Callable[[Entry], VoicePrompt]) -> Speaker:
        def speak(case: Case) -> Spoken:
            voice = voice_of(case.prompt)
            started = time.perf_counter()
            waveform = synthesize(networks, frontend, case.target.text, voice, params)
            took_s = time.perf_counter() - started
            segments = frontend.segments(case.target.text)
            phones = tuple(pair for s in segments for pair in zip(s.phones, s.tones, strict=True))
            return Spoken(waveform, phones, took_s)

        return speak

    prepared: dict[int, VoicePrompt] = {}

    def product_voice(entry: Entry) -> VoicePrompt:
        if entry.id not in prepared:
            prepared[entry.id] = prepare_voice(networks, clip(entry))
        return prepared[entry.id]

    return {
        Column.TEACHER: teacher,
        Column.CODEC: codec,
        Column.EXACT: reader(lambda entry: exact_voice(networks, entry, clip(entry))),
        Column.PRODUCT: reader(product_voice),
    }


@torch.inference_mode()
def reconstruct(
    networks: Networks, samples: np.ndarray[tuple[int], np.dtype[np.floating]]
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """(L,) → (L,) through the posterior's mean."""
    posterior = networks.wavvae.encode(torch.tensor(samples, dtype=torch.float32, device=networks.device)[None])
    made = networks.wavvae.decode(posterior.mean)[0]
    return made.float().cpu().numpy()[: len(samples)]
