"""One network of a checkpoint: its file read, the module built to its sizes, filled strictly."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from megatts3.checkpoint import files, int8, sizes
from megatts3.checkpoint.fill import fill
from megatts3.checkpoint.stored import Stored
from megatts3.checkpoint.unfilled import Unfilled
from megatts3.config import AlignerConfig, DiTConfig, DurationLMConfig, WaveVAEConfig
from megatts3.models.aligner import Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE

AnyNetwork = DiffusionTransformer | DurationLM | Aligner | WaveVAE
N = TypeVar("N", bound=nn.Module)


def dit(stored: Stored) -> DiffusionTransformer:
    return DiffusionTransformer(stored.config(DiTConfig, sizes.infer_dit))


def duration_lm(stored: Stored) -> DurationLM:
    return DurationLM(stored.config(DurationLMConfig, sizes.infer_duration_lm))


def aligner(stored: Stored) -> Aligner:
    return Aligner(stored.config(AlignerConfig, sizes.infer_aligner))


def wavvae(stored: Stored) -> WaveVAE:
    has_encoder = any(key.startswith("encoder.") for key in stored.tensors)
    return WaveVAE(stored.config(WaveVAEConfig, sizes.infer_wavvae), with_encoder=has_encoder)


BUILDERS: Mapping[files.Component, Callable[[Stored], AnyNetwork]] = {
    files.DIT: dit,
    files.DURATION_LM: duration_lm,
    files.ALIGNER: aligner,
    files.WAVVAE: wavvae,
}


def load_network(
    checkpoint: Path,
    component: files.Component,
    build: Callable[[Stored], N],
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    folder: str | None = None,
) -> N:
    """Raises CheckpointError.  folder: of several folders a component may have, the one that is wanted."""
    stored = Stored.read(checkpoint, component, folder)
    in_8_bits = int8.layers(stored.tensors)
    with Unfilled():
        network = build(stored)
        if in_8_bits:
            int8.require_cpu(str(stored.file), device)
            int8.make_room(network, str(stored.file), in_8_bits)
            dtype = torch.float32  # what is not quantised
    # The release's DiT holds one unused tensor more, its decoder file nothing is promised of (SPEC 1.2).
    is_official = stored.file.name != files.WEIGHTS
    loose = (component is files.DIT and is_official) or stored.file.name == files.DECODER_ONLY
    fill(network, str(stored.file), stored.tensors, dtype=dtype, device=device, ignore_unexpected=loose)
    return network
