"""The noise of one row, from its own seed: never of its neighbours, its place in a batch, or the device.

All draws are made on the CPU, so that a GPU gets the same noise. Their order is the reference's: the start,
then one draw for every step (SPEC 6.7).
"""

import hashlib
from typing import Protocol, Self

import torch
from torch import Tensor

from megatts3.rates import LATENT_CHANNELS


class Noise(Protocol):
    """Where a row's noise comes from."""

    def initial(self) -> Tensor:
        """The state at t = 0. (T, C)"""
        ...

    def at(self, step: int) -> Tensor:
        """Fresh noise of one step, from 0, asked for in order. (T, C)"""
        ...


def segment_seed(seed: int, segment: int) -> int:
    """The seed of one segment of a request: neighbours' seeds have nothing in common. 0 … 2^63 - 1"""
    digest = hashlib.sha256(f"{seed}:{segment}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int) -> torch.Generator:
    """A CPU generator of its own."""
    return torch.Generator().manual_seed(seed)


class RowNoise:
    """Draws from a generator, in order. Asking out of order is a mistake and an AssertionError."""

    def __init__(self, source: torch.Generator, latent_frames: int, channels: int = LATENT_CHANNELS) -> None:
        self._source = source
        self._shape = (latent_frames, channels)
        self._next = -1

    @classmethod
    def from_seed(cls, seed: int, latent_frames: int) -> Self:
        """seed: any integer of 64 bits."""
        return cls(generator(seed), latent_frames)

    def _draw(self, step: int) -> Tensor:
        assert step == self._next, f"noise of step {step} was asked for when {self._next} was due"
        self._next += 1
        return torch.randn(self._shape, generator=self._source)

    def initial(self) -> Tensor:
        return self._draw(-1)

    def at(self, step: int) -> Tensor:
        return self._draw(step)


class RecordedNoise:
    """Noise that is known already: the twin of RowNoise for tests and for repeating a recorded run.

    start: (T, C); steps: (n, T, C)
    """

    def __init__(self, start: Tensor, steps: Tensor) -> None:
        self._start, self._steps = start, steps

    def initial(self) -> Tensor:
        return self._start

    def at(self, step: int) -> Tensor:
        return self._steps[step]
