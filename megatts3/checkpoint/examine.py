"""What is in a checkpoint, and is it whole: for people, before a worker has to find out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from megatts3.checkpoint import files, known
from megatts3.checkpoint import g2p as g2p_files
from megatts3.checkpoint.int8 import layers
from megatts3.checkpoint.manifest import read_manifest, sha256_of
from megatts3.checkpoint.network import BUILDERS, load_network
from megatts3.checkpoint.stored import Stored
from megatts3.errors import CheckpointError


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. problem: None where it is as it should be."""

    what: str
    problem: str | None = None


def verify(checkpoint: Path, *, dit_folder: str | None = None) -> Iterator[Finding]:
    """Everything that is wrong, not only the first: hashes of the manifest, then each network, loaded strictly."""
    yield from _hashes(checkpoint)
    for component, build in BUILDERS.items():
        folder = dit_folder if component is files.DIT else None
        try:
            load_network(checkpoint, component, build, device=torch.device("cpu"), folder=folder)
        except CheckpointError as error:
            yield Finding(component.folders[0], str(error))
        else:
            file = files.weights_file(component.folder(checkpoint, folder))
            yield Finding(f"{file.relative_to(checkpoint)}: every tensor there, in shape, finite{_origin(file)}")
    if g2p_files.is_installed(checkpoint):
        if not g2p_files.can_run():
            yield Finding("g2p: not looked at, transformers is not installed; dictionaries will do its work")
            return
        try:
            g2p_files.load_g2p(checkpoint, device=torch.device("cpu"))
        except CheckpointError as error:
            yield Finding(g2p_files.FOLDER, str(error))
        else:
            yield Finding("g2p: complete")


def _hashes(checkpoint: Path) -> Iterator[Finding]:
    try:
        listed = read_manifest(checkpoint).files
    except CheckpointError as error:
        yield Finding("manifest.yaml", str(error))
        return
    if not listed:
        yield Finding("manifest.yaml: none, so no hashes to hold the files to")
    for name, expected in listed.items():
        path = checkpoint / name
        found = sha256_of(path) if path.is_file() else "no such file"
        problem = f"{path}: expected sha256 {expected}, found {found}; {files.FETCH_AGAIN}"
        yield Finding(f"{name}: sha256 as the manifest says", None if found == expected else problem)


def _origin(file: Path) -> str:
    if file.suffix == ".safetensors":
        return ""
    found = known.known_as(sha256_of(file))
    return f" ({found})" if found else ""


def describe(checkpoint: Path, *, dit_folder: str | None = None) -> Mapping[str, Any]:  # Any: plain values, for JSON
    """Name, licence, source, capabilities, and each network's file, numbers and sizes.  Raises CheckpointError."""
    manifest = read_manifest(checkpoint)
    networks: dict[str, Any] = {}
    encoder = False
    for component in files.COMPONENTS:
        stored = Stored.read(checkpoint, component, dit_folder if component is files.DIT else None)
        if component is files.WAVVAE:
            encoder = any(key.startswith("encoder.") for key in stored.tensors)
        kinds: Counter[str] = Counter()
        for tensor in stored.tensors.values():
            kinds[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
        networks[component.folders[0]] = {
            "file": str(stored.file.relative_to(checkpoint)),
            "size_bytes": stored.file.stat().st_size,
            "tensors": len(stored.tensors),
            "parameters": sum(kinds.values()),
            "numbers": dict(kinds),
            "int8_layers": len(layers(stored.tensors)),
        }
    return {
        "name": manifest.name or checkpoint.resolve().name,
        "licence": manifest.licence,
        "source": manifest.source,
        "encoder": encoder,
        "g2p_network": g2p_files.is_installed(checkpoint) and g2p_files.can_run(),
        "voices": (checkpoint / "voices" / "voices.yaml").is_file(),
        "networks": networks,
    }
