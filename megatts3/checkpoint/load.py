"""A whole checkpoint directory → all its networks, and what they can do."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from megatts3.checkpoint import files, network
from megatts3.checkpoint import g2p as g2p_files
from megatts3.checkpoint.g2p import load_g2p
from megatts3.checkpoint.manifest import read_manifest, revision_of
from megatts3.checkpoint.network import load_network
from megatts3.errors import CheckpointError
from megatts3.models.aligner import Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.g2p_lm import G2PNetwork
from megatts3.models.layers.weight_norm import fold_weight_norm
from megatts3.models.wavvae import WaveVAE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capabilities:
    """What the installed weights can do, and whose they are.

    encoder:     a voice can be made from reference audio alone; without it a latent must be supplied
    g2p_network: text is pronounced by the release's network; without it by dictionaries and rules
    """

    encoder: bool
    g2p_network: bool
    name: str
    licence: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Networks:
    """All networks of one checkpoint, ready for inference; shared and never changed after loading.

    revision: short hash of the weights; equal weights give equal sound
    g2p:      the pronunciation network, where it is installed and wanted
    """

    dit: DiffusionTransformer
    duration_lm: DurationLM
    aligner: Aligner
    wavvae: WaveVAE
    capabilities: Capabilities
    revision: str
    device: torch.device
    g2p: G2PNetwork | None = None


def load_networks(
    path: Path | str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    g2p: Literal["auto", "network", "dictionary"] = "auto",
) -> Networks:
    """Load a whole checkpoint directory.

    path:   the directory, or the DiT's weights file in one of its folders: `<directory>/dit_large/model.pt`
    dtype:  of the DiT, which costs nearly all the time; the others stay in float32, as the reference keeps its WaveVAE
            and the aligner's encoder
    g2p:    what pronounces: the release's network where it is installed ("auto"), always, or never
    raises: CheckpointError naming file, key, what was expected and found, and what to do
    """
    target, named = torch.device(device), Path(path)
    is_file = not named.is_dir() and named.suffix in files.SUFFIXES
    checkpoint, dit_folder = (named.parent.parent, named.parent.name) if is_file else (named, None)
    if not checkpoint.is_dir() or (is_file and not named.parent.is_dir()):
        remedy = "name one as model.checkpoint_path, or fetch one: `megatts3 checkpoints download`"
        raise CheckpointError(str(named), None, "a checkpoint directory", "no such directory", remedy)
    manifest = read_manifest(checkpoint)
    spells = _spells(checkpoint, g2p)
    dit = load_network(checkpoint, files.DIT, network.dit, device=target, dtype=dtype, folder=dit_folder)
    vae = load_network(checkpoint, files.WAVVAE, network.wavvae, device=target)
    fold_weight_norm(vae)
    return Networks(
        dit=dit,
        duration_lm=load_network(checkpoint, files.DURATION_LM, network.duration_lm, device=target),
        aligner=load_network(checkpoint, files.ALIGNER, network.aligner, device=target),
        wavvae=vae,
        capabilities=Capabilities(
            encoder=vae.encoder is not None,
            g2p_network=spells,
            name=manifest.name or checkpoint.resolve().name,
            licence=manifest.licence,
            source=manifest.source,
        ),
        revision=revision_of(weights_files(checkpoint, dit_folder, g2p=spells)),
        device=target,
        g2p=load_g2p(checkpoint, device=target, dtype=dtype) if spells else None,
    )


def _spells(checkpoint: Path, wanted: str) -> bool:
    """Whether the pronunciation network is to be used."""
    installed, can_run = g2p_files.is_installed(checkpoint), g2p_files.can_run()
    if wanted == "network" and not (installed and can_run):
        found = "no such folder" if not installed else "no transformers library to run it with"
        remedy = "install it, or set model.inference.pronunciation to auto"
        raise CheckpointError(str(checkpoint / g2p_files.FOLDER), None, "the pronunciation network", found, remedy)
    if wanted == "auto" and installed and not can_run:
        log.warning("g2p_network_left_out reason=transformers_is_not_installed")
    return wanted != "dictionary" and installed and can_run


def weights_files(checkpoint: Path, dit_folder: str | None = None, *, g2p: bool = False) -> list[Path]:
    """The files that loading reads tensors from."""
    found = [files.weights_file(part.folder(checkpoint, dit_folder)) for part in files.COMPONENTS]
    return [*found, checkpoint / g2p_files.FOLDER / files.WEIGHTS] if g2p else found
