"""How an engine runs on its machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatts3.errors import ConfigError

Precision = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class EngineConfig:
    """Decided once per process.

    device:            as torch names it: "cpu", "cuda", "cuda:1"
    precision:         of the DiT; all else is float32
    max_rows:          segments that share a step
    max_latent_frames: rows × longest row, padding included; None for no bound
    max_segments:      segments in the engine, running ones included, before EngineFull
    threads:           CPU threads of tensor work; None leaves the choice to torch
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    max_rows: int = 4
    max_latent_frames: int | None = None
    max_segments: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise ConfigError("engine", "precision", f"{self.precision!r} is not fp32, fp16 or bf16")
        for name in ("max_rows", "max_latent_frames", "max_segments", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError("engine", name, f"{value} is not positive")
