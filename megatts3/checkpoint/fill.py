"""Tensors → a network, strictly: each needed one there, once, of its shape and kind, finite."""

import logging
from collections.abc import MutableMapping

import torch
from torch import Tensor, nn

from megatts3.checkpoint.files import FETCH_AGAIN
from megatts3.errors import CheckpointError

log = logging.getLogger(__name__)

# Stored by the release, without part in inference (SPEC 5.1, 5.3).
UNUSED_PREFIXES = ("char_encoder.", "char_empty_embed.", "embed_positions.")
FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_OTHER_SIZES = "is config.yaml that of these weights?  Without it the sizes are read off the tensors"
_INCOMPLETE = "the file is incomplete or of another version: " + FETCH_AGAIN


def fill(
    module: nn.Module,
    file: str,
    tensors: MutableMapping[str, Tensor],
    *,
    dtype: torch.dtype,
    device: torch.device,
    ignore_unexpected: bool = False,
    skip: frozenset[str] = frozenset(),
) -> None:
    """Move tensors into a module, each taken out of `tensors` as it is used; CheckpointError unless all fit.

    A tensor that has its dtype and device already is used as it lies, mapped into memory.  Unexpected tensors are
    an error, but for those known to be unused, and for all with `ignore_unexpected`.

    skip: names that are another name of something else in the module
    """
    wanted = {key: place for key, place in module.state_dict().items() if key not in skip}
    for key, place in wanted.items():
        _require(file, key, place, tensors.get(key))
    for key, tensor in tensors.items():
        if key in wanted or key.startswith(UNUSED_PREFIXES):
            continue
        if not ignore_unexpected:
            remedy = "is it the file of another network, or of another version?"
            raise CheckpointError(file, key, "no such tensor", f"shape {tuple(tensor.shape)}", remedy)
        log.info("checkpoint_tensor_unused file=%s key=%s shape=%s", file, key, tuple(tensor.shape))
    filled = {}
    for key, place in wanted.items():
        tensor = tensors.pop(key)
        kind = dtype if place.is_floating_point() else place.dtype
        filled[key] = tensor.to(device=device, dtype=kind)
        if kind != tensor.dtype and kind.is_floating_point and not _is_finite(filled[key]):
            limit = torch.finfo(kind).max
            remedy = "set model.inference.precision to bf16 or fp32"
            raise CheckpointError(file, key, f"values up to {limit:.4g} for {kind}", "larger ones", remedy)
    module.load_state_dict(filled, assign=True, strict=not skip)
    module.to(device).eval().requires_grad_(requires_grad=False)


def _require(file: str, key: str, place: Tensor, tensor: Tensor | None) -> None:
    if tensor is None:
        raise CheckpointError(file, key, f"a tensor of shape {tuple(place.shape)}", "nothing", _INCOMPLETE)
    if tensor.shape != place.shape:
        raise CheckpointError(file, key, f"shape {tuple(place.shape)}", f"shape {tuple(tensor.shape)}", _OTHER_SIZES)
    if tensor.dtype not in FLOATING if place.is_floating_point() else tensor.dtype != place.dtype:
        kinds = "floating-point values" if place.is_floating_point() else str(place.dtype)
        raise CheckpointError(file, key, kinds, str(tensor.dtype), _INCOMPLETE)
    if tensor.is_floating_point() and not _is_finite(tensor):
        raise CheckpointError(file, key, "finite values", "NaN or infinity", FETCH_AGAIN)


def _is_finite(tensor: Tensor) -> bool:
    """In one pass and without a second tensor of the same size; NaN makes both ends NaN."""
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())
