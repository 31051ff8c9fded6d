"""How an engine runs on its machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from megatts3.errors import ConfigError

Precision = Literal["fp32", "fp16", "bf16"]
Forward = Literal["auto", "packed", "padded"]
Pronunciation = Literal["auto", "network", "dictionary"]


@dataclass(frozen=True)
class EngineConfig:
    """Decided once per process.

    device:            as torch names it: "cpu", "cuda", "cuda:1"
    precision:         of the DiT; all else is float32
    max_rows:          most segments that share a step; fewer where a start with a budget finds that to suffice
    max_active:        most segments begun and unfinished; those beyond max_rows take turns, None for 4 × max_rows
    max_latent_frames: most latent frames of a step's rows, padding included; None for no bound
    max_segments:      segments in the engine, running ones included, before EngineFull
    threads:           CPU threads of tensor work; None leaves the choice to torch
    lanes:             steps that run side by side; None for one, or one a thread on a CPU whose start has a budget
    forward:           rows laid end to end ("packed") or side by side with padding; "auto" is what suits the device
    max_padding:       largest share of a padded forward that may be padding, as long as rows can be left waiting
    cache_bytes:       for what depends on a voice alone
    calibrate_s:       seconds to spend at start on finding out what a step costs; 0 for none, and max_rows as told
    pronunciation:     the release's network where it is installed ("auto"), always, or dictionaries alone
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    max_rows: int = 4
    max_active: int | None = None
    max_latent_frames: int | None = None
    max_segments: int | None = None
    threads: int | None = None
    lanes: int | None = None
    forward: Forward = "auto"
    max_padding: float = 0.05
    cache_bytes: int = 256 * 2**20
    calibrate_s: float = 0.0
    pronunciation: Pronunciation = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise ConfigError("engine", "precision", f"{self.precision!r} is not fp32, fp16 or bf16")
        if self.forward not in ("auto", "packed", "padded"):
            raise ConfigError("engine", "forward", f"{self.forward!r} is not auto, packed or padded")
        if self.pronunciation not in ("auto", "network", "dictionary"):
            wrong = f"{self.pronunciation!r} is not auto, network or dictionary"
            raise ConfigError("engine", "pronunciation", wrong)
        for name in ("max_rows", "max_active", "max_latent_frames", "max_segments", "threads", "lanes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError("engine", name, f"{value} is not positive")
        for name in ("max_padding", "cache_bytes", "calibrate_s"):
            if getattr(self, name) < 0:
                raise ConfigError("engine", name, f"{getattr(self, name)} is negative")
