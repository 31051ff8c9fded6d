"""The release's form, or the seed's → ours: safetensors, sizes in config.yaml, and a manifest with every hash.

Ours loads by mapping the files into memory, holds nothing that inference does not use, and can be checked.
"""

import shutil
from pathlib import Path

import torch

from megatts3.checkpoint import files, int8
from megatts3.checkpoint import g2p as g2p_files
from megatts3.checkpoint.manifest import read_manifest, write_manifest
from megatts3.checkpoint.network import BUILDERS, load_network
from megatts3.checkpoint.save import save_network
from megatts3.errors import CheckpointError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
VOICES = "voices"
NOT_STATED = "not stated"


def convert(
    source: Path,
    target: Path,
    *,
    dtype: str = "fp32",
    licence: str | None = None,
    origin: str | None = None,
    dit_folder: str | None = None,
) -> None:
    """Write `target`, which must not exist; it appears whole or not at all.  Raises CheckpointError.

    dtype:           of the stored numbers; fp32 loses nothing
    licence, origin: where the source has no manifest that states them
    dit_folder:      which one, where a checkpoint has several
    """
    if target.exists():
        raise CheckpointError(str(target), None, "a name that is free", "something there", "remove it, or name another")
    manifest = read_manifest(source)
    half_done = target.with_name(target.name + ".part")
    shutil.rmtree(half_done, ignore_errors=True)
    for component, build in BUILDERS.items():
        file = files.weights_file(component.folder(source, dit_folder))
        network = load_network(
            source, component, build, device=torch.device("cpu"), dtype=DTYPES[dtype], folder=dit_folder
        )
        if any(key.endswith(int8.SCALE) for key in network.state_dict()):
            raise CheckpointError(str(file), None, "weights of floating point", "INT8 weights", "convert their source")
        save_network(half_done, network, dtype=DTYPES[dtype])
    if g2p_files.is_installed(source):
        shutil.copytree(source / g2p_files.FOLDER, half_done / g2p_files.FOLDER)
    if (source / VOICES).is_dir():
        shutil.copytree(source / VOICES, half_done / VOICES)
    write_manifest(
        half_done,
        manifest.name or source.resolve().name,
        licence or manifest.licence or NOT_STATED,
        origin or manifest.source or NOT_STATED,
    )
    half_done.rename(target)
