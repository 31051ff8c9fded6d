"""Building the networks and filling them, strictly."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from megatts3.checkpoint import files, sizes
from megatts3.checkpoint.manifest import read_manifest, read_yaml, revision_of
from megatts3.checkpoint.unfilled import Unfilled
from megatts3.config import AlignerConfig, DiTConfig, DurationLMConfig, WaveVAEConfig
from megatts3.errors import CheckpointError, ConfigError
from megatts3.models.aligner import Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.layers.weight_norm import fold_weight_norm
from megatts3.models.wavvae import WaveVAE

AnyConfig = TypeVar("AnyConfig", DiTConfig, DurationLMConfig, AlignerConfig, WaveVAEConfig)
AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

# Stored by the release, without part in inference (SPEC 5.1, 5.3).
UNUSED_PREFIXES = ("char_encoder.", "char_empty_embed.", "embed_positions.")


@dataclass(frozen=True)
class Capabilities:
    """What the installed weights can do, and whose they are.

    encoder:     a voice can be made from reference audio alone; without it a latent must be supplied
    g2p_network: the release's language model for text is installed
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
    """

    dit: DiffusionTransformer
    duration_lm: DurationLM
    aligner: Aligner
    wavvae: WaveVAE
    capabilities: Capabilities
    revision: str
    device: torch.device


@dataclass(frozen=True)
class _Stored:
    """One network's file, and its tensors as read."""

    file: Path
    tensors: Mapping[str, Tensor]

    def config(self, kind: type[AnyConfig], infer: Callable[[Mapping[str, Tensor]], AnyConfig]) -> AnyConfig:
        """Sizes from config.yaml where that is ours, else from the shapes."""
        path = self.file.parent / "config.yaml"
        values = read_yaml(path) if path.is_file() else None
        if isinstance(values, dict) and (self.file.name == files.WEIGHTS or _is_ours(values, kind)):
            try:
                return kind.from_dict(values, str(path))
            except ConfigError as error:
                raise CheckpointError(str(path), error.key, "a known size", str(error)) from error
        try:
            return infer(self.tensors)
        except (KeyError, IndexError) as error:
            key = error.args[0] if isinstance(error, KeyError) else None
            raise CheckpointError(str(self.file), key, "a tensor to take sizes from", "none") from error


def _is_ours(values: Mapping[str, object], kind: type[AnyConfig]) -> bool:
    """The release's own files carry many keys besides sizes; ours carry nothing else."""
    return bool(values) and set(values) <= {field.name for field in fields(kind)}


def fill(module: nn.Module, stored: _Stored, *, dtype: torch.dtype, ignore_unexpected: bool = False) -> None:
    """Put tensors into a module; CheckpointError unless all fit.

    Unexpected tensors are an error too, but for those known to be unused.
    """
    file, wanted = str(stored.file), module.state_dict()
    for key, place in wanted.items():
        tensor = stored.tensors.get(key)
        if tensor is None:
            raise CheckpointError(file, key, f"a tensor of shape {tuple(place.shape)}", "nothing")
        if tensor.shape != place.shape:
            raise CheckpointError(file, key, f"shape {tuple(place.shape)}", f"shape {tuple(tensor.shape)}")
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(file, key, "finite values", "NaN or infinity")
    for key, tensor in stored.tensors.items():
        if not ignore_unexpected and key not in wanted and not key.startswith(UNUSED_PREFIXES):
            raise CheckpointError(file, key, "no such tensor", f"shape {tuple(tensor.shape)}")
    # A copy, for the file may be mapped into memory and replaced while the network lives.
    module.load_state_dict({key: stored.tensors[key].to(dtype, copy=True) for key in wanted}, assign=True)
    module.eval().requires_grad_(requires_grad=False)


def _load(
    checkpoint: Path,
    component: files.Component,
    build: Callable[[_Stored], AnyNetwork],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> AnyNetwork:
    file = files.weights_file(component.folder(checkpoint))
    stored = _Stored(file, files.read_tensors(file, component.name))
    with Unfilled():
        network = build(stored)
    # The release's DiT holds one unused tensor more, its decoder file nothing is promised of (SPEC 1.2).
    loose = component is files.DIT or file.name == files.DECODER_ONLY
    fill(network, stored, dtype=dtype, ignore_unexpected=loose)
    return network.to(device)


def load_networks(
    path: Path | str, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Networks:
    """Load a whole checkpoint directory.

    dtype:  of the DiT, which costs nearly all the time; the others stay in float32
    raises: CheckpointError naming file, key, what was expected and found
    """
    checkpoint, target = Path(path), torch.device(device)
    if not checkpoint.is_dir():
        raise CheckpointError(str(checkpoint), None, "a checkpoint directory", "no such directory")

    def dit(stored: _Stored) -> DiffusionTransformer:
        return DiffusionTransformer(stored.config(DiTConfig, sizes.infer_dit))

    def duration_lm(stored: _Stored) -> DurationLM:
        return DurationLM(stored.config(DurationLMConfig, sizes.infer_duration_lm))

    def aligner(stored: _Stored) -> Aligner:
        return Aligner(stored.config(AlignerConfig, sizes.infer_aligner))

    def wavvae(stored: _Stored) -> WaveVAE:
        has_encoder = any(key.startswith("encoder.") for key in stored.tensors)
        return WaveVAE(stored.config(WaveVAEConfig, sizes.infer_wavvae), with_encoder=has_encoder)

    manifest, vae = read_manifest(checkpoint), _load(checkpoint, files.WAVVAE, wavvae, target)
    fold_weight_norm(vae)
    return Networks(
        dit=_load(checkpoint, files.DIT, dit, target, dtype),
        duration_lm=_load(checkpoint, files.DURATION_LM, duration_lm, target),
        aligner=_load(checkpoint, files.ALIGNER, aligner, target),
        wavvae=vae,
        capabilities=Capabilities(
            encoder=vae.encoder is not None,
            g2p_network=(checkpoint / "g2p" / "model.safetensors").is_file(),
            name=manifest.name or checkpoint.resolve().name,
            licence=manifest.licence,
            source=manifest.source,
        ),
        revision=revision_of(files.weights_file(part.folder(checkpoint)) for part in files.COMPONENTS),
        device=target,
    )
