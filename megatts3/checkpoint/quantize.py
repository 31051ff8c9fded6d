"""A checkpoint with the DiT's linear layers in 8 bits, for the CPU; the loader knows it by its tensors.

Only the DiT: it is nine tenths of the work and most of the bytes.  The other networks choose tokens, where a small
error becomes another word or another rhythm, and would gain next to nothing.
"""

import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from megatts3.checkpoint import files, network
from megatts3.checkpoint.int8 import SCALE, require_cpu
from megatts3.checkpoint.manifest import FILE, read_manifest, write_manifest
from megatts3.checkpoint.network import load_network
from megatts3.checkpoint.save import save_network, write_tensors
from megatts3.errors import CheckpointError
from megatts3.models.layers.int8_linear import quantise

QUANTISED_PREFIX = "encoder.layers."  # the transformer's layers; the few projections around them stay as they are


def quantize(source: Path, target: Path, *, device: str = "cpu") -> None:
    """Write a checkpoint of 8-bit weights beside its source; `target` must not exist.  Raises CheckpointError."""
    require_cpu(str(source), torch.device(device))
    if target.exists():
        raise CheckpointError(str(target), None, "a name that is free", "something there", "remove it, or name another")
    dit = load_network(source, files.DIT, network.dit, device=torch.device("cpu"))
    if any(key.endswith(SCALE) for key in dit.state_dict()):
        raise CheckpointError(str(source), None, "weights of floating point", "INT8 weights", "quantize their source")
    half_done = target.with_name(target.name + ".part")
    shutil.rmtree(half_done, ignore_errors=True)
    folder = files.DIT.folder(source)
    shutil.copytree(source, half_done, ignore=shutil.ignore_patterns(folder.name, FILE))
    save_network(half_done, dit)
    weights = half_done / files.DIT.folders[0] / files.WEIGHTS
    write_tensors(weights, _in_8_bits(dit))
    manifest = read_manifest(source)
    name = manifest.name or source.resolve().name
    origin = f"{manifest.source or source.resolve().name}; the DiT's linear layers in 8 bits by this project"
    write_manifest(half_done, f"{name}-int8", manifest.licence or "not stated", origin)
    half_done.rename(target)


def _in_8_bits(dit: nn.Module) -> dict[str, Tensor]:
    tensors = dict(dit.state_dict())
    for name, module in dit.named_modules():
        if isinstance(module, nn.Linear) and name.startswith(QUANTISED_PREFIX):
            weight, scale = quantise(tensors[f"{name}.weight"])
            tensors |= {f"{name}.weight": weight, f"{name}{SCALE}": scale}
    return tensors
