"""Which file holds a network's tensors, and reading it (SPEC 1.1, 1.2)."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from megatts3.errors import CheckpointError

WEIGHTS = "model.safetensors"
RELEASE_WEIGHTS = "model_only_last.ckpt"
DECODER_ONLY = "decoder.ckpt"
PLAIN_WEIGHTS = "model.pt"
STEPS_PATTERN = re.compile(r"model_ckpt_steps_(\d+)\.ckpt")
WRAPPERS = ("module.", "_orig_mod.")  # left in names by wrappers of the training code


@dataclass(frozen=True)
class Component:
    """Where one network lies: its folder (the first that exists) and its name inside a release file."""

    folders: tuple[str, ...]
    name: str

    def folder(self, checkpoint: Path) -> Path:
        """CheckpointError where none of the folders exists."""
        for folder in self.folders:
            if (checkpoint / folder).is_dir():
                return checkpoint / folder
        raise CheckpointError(str(checkpoint), None, f"folder {self.folders[0]}/", "no such folder")


DIT = Component(("diffusion_transformer", "dit_base", "dit_large"), "dit")
DURATION_LM = Component(("duration_lm",), "dur_model")
ALIGNER = Component(("aligner_lm",), "model")
WAVVAE = Component(("wavvae", "wavevae"), "model_gen")
COMPONENTS = (DIT, DURATION_LM, ALIGNER, WAVVAE)


def weights_file(folder: Path) -> Path:
    """Ours, else the release's, else the one of most steps, else a decoder alone."""
    steps = {int(m[1]): f for f in folder.iterdir() if (m := STEPS_PATTERN.fullmatch(f.name))}
    candidates = [folder / WEIGHTS, folder / RELEASE_WEIGHTS]
    candidates += [steps[max(steps)]] if steps else []
    candidates += [folder / DECODER_ONLY, folder / PLAIN_WEIGHTS]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise CheckpointError(str(folder), None, f"{WEIGHTS} or {RELEASE_WEIGHTS}", "no weights file")


def read_tensors(file: Path, name: str) -> dict[str, Tensor]:
    """The flat name → tensor mapping of one network, names cleaned. CheckpointError for anything else."""
    try:
        if file.suffix == ".safetensors":
            return _clean(load_file(file))
        # The old, non-zip serialisation cannot be mapped into memory.
        payload = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise CheckpointError(str(file), None, "a readable checkpoint", type(error).__name__) from error
    return _clean(_network(payload, name, file))


def _network(payload: object, name: str, file: Path) -> Mapping[str, object]:
    """What lies at state_dict → NAME; a plain flat file is taken as it is."""
    outer = payload.get("state_dict", payload) if isinstance(payload, Mapping) else None
    if isinstance(outer, Mapping):
        cleaned = {_clean_name(str(key)): value for key, value in outer.items()}
        inner = cleaned.get(name, cleaned)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            return inner
    raise CheckpointError(str(file), f"state_dict.{name}", "a mapping of tensors", "none")


def _clean_name(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.replace(wrapper, "")
    return key


def _clean(tensors: Mapping[str, object]) -> dict[str, Tensor]:
    return {_clean_name(key): value for key, value in tensors.items() if isinstance(value, Tensor)}
