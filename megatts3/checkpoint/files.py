"""Which file holds a network's tensors, and reading it (SPEC 1.1, 1.2).  Tensors only: no code in a file is run."""

import logging
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

log = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
RELEASE_WEIGHTS = "model_only_last.ckpt"
DECODER_ONLY = "decoder.ckpt"
PLAIN_WEIGHTS = "model.pt"
SUFFIXES = (".safetensors", ".ckpt", ".pt")
STEPS_PATTERN = re.compile(r"model_ckpt_steps_(\d+)\.ckpt")
WRAPPERS = ("module.", "_orig_mod.")  # left in names by wrappers of the training code

FETCH_AGAIN = "fetch the file again (`megatts3 checkpoints download` checks what it fetched)"
_POINTER = b"version https://git-lfs"  # what a clone without git-lfs leaves in a weight file's place
_PROBE_BYTES = 64


@dataclass(frozen=True)
class Component:
    """Where one network lies: its folder (the first that exists) and its name inside a release file."""

    folders: tuple[str, ...]
    name: str

    def folder(self, checkpoint: Path, wanted: str | None = None) -> Path:
        """`wanted` goes before the usual order.  CheckpointError where none of the folders exists."""
        order = [wanted] if wanted in self.folders else []
        for folder in (*order, *self.folders):
            if (checkpoint / folder).is_dir():
                return checkpoint / folder
        remedy = "put the folder there, or name another directory as model.checkpoint_path"
        raise CheckpointError(str(checkpoint), None, f"folder {self.folders[0]}/", "no such folder", remedy)


DIT = Component(("diffusion_transformer", "dit_base", "dit_large"), "dit")
DURATION_LM = Component(("duration_lm",), "dur_model")
ALIGNER = Component(("aligner_lm",), "model")
WAVVAE = Component(("wavvae", "wavevae"), "model_gen")
COMPONENTS = (DIT, DURATION_LM, ALIGNER, WAVVAE)


def weights_file(folder: Path) -> Path:
    """Ours, else the release's, else the one of most steps, else a decoder alone, else a plain file."""
    steps = {int(m[1]): f for f in folder.iterdir() if (m := STEPS_PATTERN.fullmatch(f.name))}
    candidates = [folder / WEIGHTS, folder / RELEASE_WEIGHTS]
    candidates += [steps[max(steps)]] if steps else []
    candidates += [folder / DECODER_ONLY, folder / PLAIN_WEIGHTS]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    names = f"{WEIGHTS}, {RELEASE_WEIGHTS} or {PLAIN_WEIGHTS}"
    raise CheckpointError(str(folder), None, names, "no weights file", "put the weights there")


def read_tensors(file: Path, name: str) -> dict[str, Tensor]:
    """The flat name → tensor mapping of one network, names cleaned.  CheckpointError for anything else.

    The tensors of safetensors and of zip files are mapped into memory: what is not touched is not read, and
    several processes share one copy.  The old, non-zip serialisation cannot be mapped.
    """
    try:
        if file.suffix == ".safetensors":
            return _clean(load_file(file), file)
        payload = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except PermissionError as error:
        raise CheckpointError(str(file), None, "a file to read", "no permission", "chmod 644 the file") from error
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        raise _unreadable(file, error) from error
    return _clean(_network(payload, name, file), file)


def _unreadable(file: Path, error: Exception) -> CheckpointError:
    """What a file that is no checkpoint probably is."""
    with file.open("rb") as stream:
        start = stream.read(_PROBE_BYTES)
    size = file.stat().st_size
    if size == 0:
        return CheckpointError(str(file), None, "a checkpoint", "an empty file", FETCH_AGAIN)
    if start.startswith(_POINTER):
        remedy = "run `git lfs pull` where it was cloned, or `megatts3 checkpoints download`"
        return CheckpointError(str(file), None, "a checkpoint", "a git-lfs pointer to one", remedy)
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return CheckpointError(str(file), None, "a checkpoint", "a web page", FETCH_AGAIN)
    if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error).lower():
        remedy = "it may run code when opened: use a file from the publisher, or one of safetensors"
        return CheckpointError(str(file), None, "tensors and nothing else", "other objects", remedy)
    found = f"a file of {size} bytes that is damaged or cut short ({type(error).__name__})"
    return CheckpointError(str(file), None, "a readable checkpoint", found, FETCH_AGAIN)


def _network(payload: object, name: str, file: Path) -> Mapping[str, object]:
    """What lies at state_dict → NAME; a plain flat file is taken as it is."""
    outer = payload.get("state_dict", payload) if isinstance(payload, Mapping) else None
    if isinstance(outer, Mapping):
        cleaned = {_clean_name(str(key)): value for key, value in outer.items()}
        inner = cleaned.get(name, cleaned)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            return inner
    names = ", ".join(sorted(str(key) for key in outer)[:5]) if isinstance(outer, Mapping) else type(payload).__name__
    remedy = "is it the file of another network?  Each belongs into its own folder"
    raise CheckpointError(str(file), f"state_dict.{name}", "a mapping of tensors", names or "nothing", remedy)


def _clean_name(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.replace(wrapper, "")
    return key


def _clean(tensors: Mapping[str, object], file: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        cleaned = _clean_name(key)
        if not isinstance(value, Tensor):
            log.info("checkpoint_entry_passed_over file=%s key=%s", file, cleaned)
            continue
        if cleaned in found:
            wrappers = " or ".join(WRAPPERS)
            raise CheckpointError(str(file), cleaned, "one tensor of that name", f"two, with and without {wrappers}")
        found[cleaned] = value
    return found
