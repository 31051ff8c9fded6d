"""Writing networks in our form: config.yaml and model.safetensors in a folder each."""

from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from megatts3.checkpoint.files import WEIGHTS
from megatts3.checkpoint.manifest import write_manifest
from megatts3.models.aligner import Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE

AnyNetwork = DiffusionTransformer | DurationLM | Aligner | WaveVAE


def _folder(network: AnyNetwork) -> str:
    if isinstance(network, DiffusionTransformer):
        return "diffusion_transformer"
    if isinstance(network, DurationLM):
        return "duration_lm"
    return "aligner_lm" if isinstance(network, Aligner) else "wavvae"


def save_network(checkpoint: Path, network: AnyNetwork, *, dtype: torch.dtype = torch.float32) -> None:
    """Write one network into its folder of a checkpoint."""
    folder = checkpoint / _folder(network)
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(network.config.to_dict(), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    tensors = {key: tensor.detach().to("cpu", dtype).contiguous() for key, tensor in network.state_dict().items()}
    write_tensors(folder / WEIGHTS, tensors)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write beside, then rename: whoever has the old file mapped into memory goes on with the old one."""
    beside = path.with_name(path.name + ".new")
    save_file(dict(tensors), beside)
    beside.replace(path)


def save_networks(
    checkpoint: Path,
    *networks: AnyNetwork,
    name: str,
    licence: str,
    source: str,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write several networks and the manifest."""
    for network in networks:
        save_network(checkpoint, network, dtype=dtype)
    write_manifest(checkpoint, name, licence, source)
