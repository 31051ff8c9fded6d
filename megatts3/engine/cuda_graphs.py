"""The network's own forward, recorded once per size on a CUDA device and replayed: one launch in place of hundreds.

Sizes are rounded up to buckets, so that few recordings serve all batches.  Whatever goes wrong while recording,
or too little free memory, leaves that size to the plain forward; nothing depends on a recording.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from megatts3.engine.row_failure import is_fatal
from megatts3.models.diffusion_transformer import Modulations

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

FRAMES_A_BUCKET = 32  # latent frames: at 460 of them 3 % on average
SMALL_BATCH = 12  # branches: up to here each number of rows of three has its own bucket, above it every fourth row
FREE_MEMORY_KEPT = 0.25  # share of the device's memory that recordings leave free
RECORDINGS = 48
_WARM_UPS = 2


class Velocity(Protocol):
    """As DiffusionTransformer.velocity."""

    def __call__(
        self, x: Tensor, t: Modulations, conditioning: Tensor, prompt_mask: Tensor, key_mask: Tensor | None = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class Bucket:
    """Size of a recorded forward: branches N, latent frames T."""

    branches: int
    latent_frames: int


def round_frames(longest: int) -> int:
    return -(-longest // FRAMES_A_BUCKET) * FRAMES_A_BUCKET


def bucket_of(branches: int, latent_frames: int) -> Bucket:
    """The smallest bucket that holds a batch."""
    step = 3 if branches <= SMALL_BATCH else SMALL_BATCH
    return Bucket(-(-branches // step) * step, round_frames(latent_frames))


@dataclass(frozen=True, eq=False)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class GraphedVelocity:
    """Replays recordings; the plain forward where there is none."""

    def __init__(self, plain: Velocity, device: torch.device) -> None:
        self._plain, self._device = plain, device
        self._recordings: dict[Bucket, _Recording | None] = {}
        self._seen: set[Bucket] = set()
        self._pool: Any = None  # torch's handle, of a private type

    @property
    def recorded(self) -> int:
        return sum(recording is not None for recording in self._recordings.values())

    def __call__(
        self, x: Tensor, t: Modulations, conditioning: Tensor, prompt_mask: Tensor, key_mask: Tensor | None = None
    ) -> Tensor:
        branches, frames = x.shape[:2]
        bucket = bucket_of(branches, frames)
        recording = self._recording(bucket, x, t, conditioning, prompt_mask)
        if recording is None:
            return self._plain(x, t, conditioning, prompt_mask, key_mask)
        key_mask = torch.ones(branches, frames, dtype=torch.bool, device=x.device) if key_mask is None else key_mask
        given = (x, t.layers, t.final, conditioning, prompt_mask, key_mask)
        for place, value in zip(recording.inputs, given, strict=True):
            place[:branches].copy_(fit(value, place) if value.dim() > 1 else value)
        recording.inputs[5][branches:, 0] = True  # a branch that is nobody's still looks at something
        recording.graph.replay()
        return recording.output[:branches, :frames].clone()

    def _recording(
        self, bucket: Bucket, x: Tensor, t: Modulations, conditioning: Tensor, prompt_mask: Tensor
    ) -> _Recording | None:
        """Made when a size comes for the second time: one that comes once is not worth it."""
        if bucket in self._recordings:
            return self._recordings[bucket]
        if bucket not in self._seen or len(self._recordings) >= RECORDINGS:
            self._seen.add(bucket)
            return None
        self._recordings[bucket] = self._record(bucket, x, t, conditioning, prompt_mask)
        return self._recordings[bucket]

    def _record(
        self, bucket: Bucket, x: Tensor, t: Modulations, conditioning: Tensor, prompt_mask: Tensor
    ) -> _Recording | None:
        free, total = torch.cuda.mem_get_info(self._device)
        if free < FREE_MEMORY_KEPT * total:
            return None
        try:
            inputs = tuple(
                torch.zeros(bucket.branches, *sizes, dtype=like.dtype, device=self._device)
                for sizes, like in (
                    ((bucket.latent_frames, x.shape[2]), x),
                    (t.layers.shape[1:], t.layers),
                    (t.final.shape[1:], t.final),
                    ((bucket.latent_frames, conditioning.shape[2]), conditioning),
                    ((bucket.latent_frames, 1), prompt_mask),
                )
            )
            key_mask = torch.ones(bucket.branches, bucket.latent_frames, dtype=torch.bool, device=self._device)
            return self._capture((*inputs, key_mask))
        except Exception as error:
            if is_fatal(error):
                raise
            log.warning("forward_not_recorded branches=%d frames=%d", bucket.branches, bucket.latent_frames)
            return None

    def _capture(self, inputs: tuple[Tensor, ...]) -> _Recording:
        x, layers, final, conditioning, prompt_mask, key_mask = inputs
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch's own
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self._plain(x, Modulations(layers, final), conditioning, prompt_mask, key_mask)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            output = self._plain(x, Modulations(layers, final), conditioning, prompt_mask, key_mask)
        self._pool = self._pool or graph.pool()
        return _Recording(graph, inputs, output)


def fit(value: Tensor, place: Tensor) -> Tensor:
    """Pad a batch (n, …) on the right of its second dimension to a recording's size."""
    missing = place.shape[1] - value.shape[1]
    if missing == 0:
        return value
    return functional.pad(value, (0,) * (2 * (value.dim() - 2)) + (0, missing))
