"""One network's file, its tensors as read, and its sizes: from config.yaml, from the shapes, and both must agree."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from megatts3.checkpoint import files, sizes
from megatts3.checkpoint.manifest import read_yaml
from megatts3.config import AlignerConfig, DiTConfig, DurationLMConfig, WaveVAEConfig
from megatts3.errors import CheckpointError, ConfigError

AnyConfig = TypeVar("AnyConfig", DiTConfig, DurationLMConfig, AlignerConfig, WaveVAEConfig)

CONFIG = "config.yaml"
# Values of the release's own files that the published code fixes elsewhere; another value is another model (SPEC 1.3).
_FIXED: Mapping[type, Mapping[str, object]] = {
    DiTConfig: {"win_size": 1200, "frames_multiple": 8},
    WaveVAEConfig: {"vae_stride": 4, "hop_size": 240},
    DurationLMConfig: {
        "use_rot_embed": True,
        "lm_use_enc": True,
        "use_post_ln": False,
        "lm_bias": True,
        "use_bert_input": False,
        "use_spk_embed": False,
        "use_spk_id": False,
        "use_spk_enc": False,
    },
}
# Sizes of the release's own files, named there as here (SPEC 1.4).
_SHARED: Mapping[type, tuple[str, ...]] = {
    DurationLMConfig: (
        "ffn_hidden_size",
        "num_heads",
        "enc_layers",
        "enc_ffn_kernel_size",
        "use_pos_embed",
        "dur_model_type",
        "dur_code_size",
        "dur_txt_hs",
        "dur_model_hidden_size",
        "dur_model_layers",
    ),
}


@dataclass(frozen=True)
class Stored:
    """file: where the tensors come from; config.yaml may lie beside it."""

    file: Path
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, checkpoint: Path, component: files.Component, wanted: str | None = None) -> "Stored":
        file = files.weights_file(component.folder(checkpoint, wanted))
        return cls(file, files.read_tensors(file, component.name))

    def config(self, kind: type[AnyConfig], infer: Callable[[Mapping[str, Tensor]], AnyConfig]) -> AnyConfig:
        """Sizes from config.yaml where that is in our form, else from the shapes; CheckpointError where they differ."""
        path = self.file.parent / CONFIG
        values = read_yaml(path) if path.is_file() else {}
        if not isinstance(values, dict):
            raise CheckpointError(str(path), None, "a mapping of sizes", type(values).__name__)
        if values and _is_ours(values, kind):
            try:
                stated = kind.from_dict(values, str(path))
            except ConfigError as error:
                remedy = "correct it, or remove the file: sizes are then read off the tensors"
                raise CheckpointError(str(path), error.key, "a known size", str(error), remedy) from error
            for key, number in sizes.counted(kind, self.tensors).items():
                self._agree(path, key, getattr(stated, key), number)
            return stated
        inferred = self._inferred(infer)
        for key, stated_value, shown in _of_the_release(values, inferred):
            self._agree(path, key, stated_value, shown)
        return inferred

    def _inferred(self, infer: Callable[[Mapping[str, Tensor]], AnyConfig]) -> AnyConfig:
        try:
            return infer(self.tensors)
        except (KeyError, IndexError, ZeroDivisionError, ConfigError) as error:
            key = str(error.args[0]) if isinstance(error, KeyError) else None
            remedy = "is it the file of another network?  " + files.FETCH_AGAIN
            raise CheckpointError(str(self.file), key, "a tensor to take sizes from", "none", remedy) from error

    def _agree(self, path: Path, key: str, stated: object, shown: object) -> None:
        if stated != shown:
            remedy = (
                f"{self.file.name} and {CONFIG} belong to different models: bring the one that belongs to the other"
            )
            raise CheckpointError(str(path), key, f"{shown!r}, as the tensors show", repr(stated), remedy)


def _is_ours(values: Mapping[str, Any], kind: type) -> bool:  # Any: whatever a YAML file holds
    """The release's own files carry many keys besides sizes, and name a base; ours carry nothing else."""
    known = {field.name for field in fields(kind)}
    return "base_config" not in values and sum(key in known for key in values) > len(values) / 2


def _of_the_release(values: Mapping[str, Any], inferred: AnyConfig) -> Iterator[tuple[str, object, object]]:
    """What one of the release's own files states, and what has to be there."""
    kind = type(inferred)
    for key, fixed in _FIXED.get(kind, {}).items():
        if key in values:
            yield key, values[key], fixed
    for key in _SHARED.get(kind, ()):
        if key in values:
            yield key, values[key], getattr(inferred, key)
    vocoder = values.get("melgan_config")
    if isinstance(inferred, WaveVAEConfig) and isinstance(vocoder, dict) and "use_tanh" in vocoder:
        yield "melgan_config.use_tanh", vocoder["use_tanh"], inferred.use_tanh
