"""The manifest of a checkpoint, and the hashes that tell one from another."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from megatts3.errors import CheckpointError

FILE = "manifest.yaml"
_PROBES = 16  # places of a file that are looked at …
_PROBE_BYTES = 1 << 18  # … and how much at each


@dataclass(frozen=True)
class Manifest:
    """What is known of a checkpoint. files: path below the checkpoint → sha256, lower-case hex."""

    name: str | None = None
    licence: str | None = None
    source: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def read_yaml(path: Path) -> Any:  # whatever the file holds
    """CheckpointError where the file is no YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        remedy = "correct the file, or bring it again from where the weights are from"
        raise CheckpointError(str(path), None, "YAML", type(error).__name__, remedy) from error


def read_manifest(checkpoint: Path) -> Manifest:
    """An absent manifest is an empty one: the release has none."""
    path = checkpoint / FILE
    if not path.is_file():
        return Manifest()
    values = read_yaml(path)
    listed = values.get("files", {}) if isinstance(values, dict) else None
    if not isinstance(listed, dict):
        raise CheckpointError(str(path), "files", "a mapping of paths to sha256", type(listed).__name__)

    def text(key: str) -> str | None:
        return None if values.get(key) is None else str(values[key])

    return Manifest(text("name"), text("licence"), text("source"), listed)


def write_manifest(checkpoint: Path, name: str, licence: str, source: str) -> None:
    """Hash every file below the checkpoint and write them down."""
    paths = sorted(p for p in checkpoint.rglob("*") if p.is_file() and p.name != FILE and not p.name.startswith("."))
    values = {
        "name": name,
        "licence": licence,
        "source": source,
        "files": {p.relative_to(checkpoint).as_posix(): sha256_of(p) for p in paths},
    }
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    (checkpoint / FILE).write_text(text, encoding="utf-8")


def verify_files(checkpoint: Path) -> None:
    """CheckpointError for the first file of the manifest that is absent or has another hash."""
    for name, expected in read_manifest(checkpoint).files.items():
        path = checkpoint / name
        found = sha256_of(path) if path.is_file() else "no such file"
        if found != expected:
            raise CheckpointError(str(path), None, f"sha256 {expected}", found)


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def revision_of(weights: Iterable[Path]) -> str:
    """A short id of some files' contents: of their sizes and of evenly spread parts of them.

    Weights of another training differ everywhere, so parts are enough, and a start stays quick.
    """
    digest = hashlib.sha256()
    for path in weights:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "big"))
        with path.open("rb") as stream:
            for probe in range(_PROBES):
                stream.seek(max(0, size - _PROBE_BYTES) * probe // (_PROBES - 1))
                digest.update(stream.read(_PROBE_BYTES))
    return digest.hexdigest()[:12]
