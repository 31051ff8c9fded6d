"""How many multiplications this machine could do, and how many the DiT needs: the share tells what is left to win."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from megatts3.sampling.guidance import needed_branches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from megatts3.benchmark.request import BenchRequest
    from megatts3.config import DiTConfig

_SIZES = {"cpu": (512, 1024), "cuda": (4096, 8192)}
_REPEATS = 5


def matrix_ceiling(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of the best of some square matrix products; a product of n³ has 2 n³."""
    best = 0.0
    kind = torch.device(device).type
    for size in _SIZES.get(kind, _SIZES["cpu"]):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for _ in range(_REPEATS + 1):  # the first one is for warming up, and is seldom the best
            _settle(kind)
            started = time.perf_counter()
            torch.mm(a, b)
            _settle(kind)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def _settle(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def dit_operations(config: DiTConfig, latent_frames: int, branches: int) -> float:
    """Operations of one evaluation of one row: its matrix products and attention, prompt span included."""
    width = config.dim
    layer = 4 * width * width + 2 * width * config.ffn_dim
    ends = 2 * width * config.latent_dim + width * width
    products = 2 * latent_frames * (config.n_layers * layer + ends)
    attention = config.n_layers * 4 * latent_frames * latent_frames * width
    return float(branches * (products + attention))


def request_operations(config: DiTConfig, asked: Iterable[BenchRequest]) -> float:
    """Of all steps of all segments of some requests."""
    return sum(
        request.params.steps
        * dit_operations(
            config,
            request.voice.prompt.latent_frames + segment.latent_frames,
            len(needed_branches(request.params.text_guidance, request.params.speaker_guidance)),
        )
        for request in asked
        for segment in request.expected.segments
    )
