"""Real-time factor: time to speak over what is spoken, the voice being ready."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from megatts3.checkpoint import Networks
from megatts3.pipeline.plan import Frontend
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.voice import VoicePrompt
from megatts3.sampling.params import SamplingParams


@dataclass(frozen=True)
class Speed:
    """rtf: the middle one of several sentences; load: what else the machine did, as it counts processes."""

    threads: int
    rtf: float
    load: float


def measure_speed(
    networks: Networks,
    frontend: Frontend,
    voice: VoicePrompt,
    texts: Sequence[str],
    params: SamplingParams,
    threads: int,
) -> Speed:
    """On `threads` threads of torch, which are set back afterwards.  The first text is spoken once more before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        synthesize(networks, frontend, texts[0], voice, params)
        factors = []
        for text in texts:
            started = time.perf_counter()
            made = synthesize(networks, frontend, text, voice, params)
            factors.append((time.perf_counter() - started) / made.duration_s)
    finally:
        torch.set_num_threads(before)
    return Speed(threads, statistics.median(factors), os.getloadavg()[0])
