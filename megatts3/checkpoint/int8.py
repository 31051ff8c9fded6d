"""Weights of 8 bits in a checkpoint: how they are known, and where they may run."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from megatts3.errors import CheckpointError
from megatts3.models.layers.int8_linear import replace_linear

SCALE = ".weight_scale"  # behind the name of a layer of 8 bits
ON_GPU = "INT8 weights, which run on a CPU only"
REMEDY = "on a GPU use the checkpoint they were made of with precision fp16: faster there, and more exact"


def layers(tensors: Mapping[str, Tensor]) -> list[str]:
    """The linear layers whose weights are 8 bits wide."""
    return [key.removesuffix(SCALE) for key in tensors if key.endswith(SCALE)]


def require_cpu(file: str, device: torch.device) -> None:
    """CheckpointError on anything but a CPU."""
    if device.type != "cpu":
        raise CheckpointError(file, None, f"weights for a {device.type} device", ON_GPU, REMEDY)


def make_room(network: nn.Module, file: str, names: Iterable[str]) -> None:
    """Give the network layers of 8 bits where the file has them."""
    try:
        replace_linear(network, names)
    except KeyError as error:
        key = f"{error.args[0]}{SCALE}"
        raise CheckpointError(file, key, "the scale of a linear layer", "no such layer", "make it again") from error
