"""A linear layer for inference, its weights laid out once as the processor's matrix kernels want them.

torch hands a float32 product on a CPU to a library that uses half of what some processors can do.  oneDNN, which
is in every build of torch as well, is given the product directly here, with its weights reordered beforehand.
Both sum in another order, so results differ in the last bits of a float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

Activation = Literal["none", "swish"]


class PackedLinear:
    """x (…, in) → (…, out), in `dtype`; not a module: it has no parameters to load or to train."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        """weight: (out, in); bias: (out,)"""
        self.out_features = weight.shape[0]
        self._weight = weight.detach().to(dtype).contiguous()
        self._bias = None if bias is None else bias.detach().to(dtype)
        self._reordered = reorder(self._weight)

    @property
    def is_reordered(self) -> bool:
        return self._reordered is not None

    def __call__(self, x: Tensor, activation: Activation = "none") -> Tensor:
        if self._reordered is not None:
            product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - torch has no public name for it
            found: Tensor = product(x, self._reordered, self._bias, activation, [], "")
            return found
        y = functional.linear(x, self._weight, self._bias)
        return functional.silu(y, inplace=True) if activation == "swish" else y


def reorder(weight: Tensor) -> Tensor | None:
    """The weights as oneDNN wants them; None where it cannot be had (another device, another build of torch)."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch's own
        return None
    try:
        found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 - as above
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return found
