"""The recipe of a checkpoint: which corpus, which sizes, how long each network learns.  Read from configs/train/."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from megatts3.errors import ConfigError
from megatts3.training.aligner import AlignerRecipe
from megatts3.training.corpus.build import CorpusConfig
from megatts3.training.dit import DiTRecipe
from megatts3.training.duration_lm import DurationRecipe
from megatts3.training.loop import LoopConfig
from megatts3.training.wavvae import WaveVAERecipe

STAGES = ("wavvae", "latents", "decoder", "aligner", "duration_lm", "dit", "export")

T = TypeVar("T")


@dataclass(frozen=True)
class TrainConfig:
    """One file of configs/train/.  Each network has a recipe (what a step is) and a loop (how many)."""

    name: str
    architecture: str
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    wavvae: WaveVAERecipe = field(default_factory=WaveVAERecipe)
    wavvae_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6_000))
    decoder: WaveVAERecipe = field(default_factory=WaveVAERecipe)
    decoder_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6_000))
    aligner: AlignerRecipe = field(default_factory=AlignerRecipe)
    aligner_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6_000))
    duration_lm: DurationRecipe = field(default_factory=DurationRecipe)
    duration_lm_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3_000))
    dit: DiTRecipe = field(default_factory=DiTRecipe)
    dit_loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6_000))

    def scaled(self, share: float) -> TrainConfig:
        """The same recipe with `share` of the steps, minutes and corpus: a trial run."""

        def shorter(loop: LoopConfig) -> LoopConfig:
            minutes = loop.minutes if math.isinf(loop.minutes) else loop.minutes * share
            steps = max(2, round(loop.steps * share))
            return dataclasses.replace(loop, steps=steps, minutes=minutes, log_every=min(loop.log_every, steps))

        loops: dict[str, Any] = {
            f.name: shorter(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name.endswith("_loop")
        }
        hours = {
            f.name: getattr(self.corpus, f.name) * share
            for f in dataclasses.fields(self.corpus)
            if f.name.endswith("_hours")
        }
        return dataclasses.replace(self, corpus=dataclasses.replace(self.corpus, **hours), **loops)


def load_recipe(path: Path) -> TrainConfig:
    """Raises ConfigError that names the file and the key."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return _strict(TrainConfig, values, str(path))


def _strict(kind: type[T], values: Any, source: str) -> T:  # Any: what YAML gives
    if not isinstance(values, dict):
        raise ConfigError(source, "", "not a mapping")
    kinds = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass type
    given: dict[str, Any] = {}
    for key, value in values.items():
        if key not in kinds:
            raise ConfigError(source, str(key), "unknown key")
        nested = kinds[key].default_factory
        if nested is not dataclasses.MISSING:
            given[key] = _strict(type(nested()), value, f"{source}: {key}")
        else:
            given[key] = tuple(value) if isinstance(value, list) else value
    return kind(**given)
