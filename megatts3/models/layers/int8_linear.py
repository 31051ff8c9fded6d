"""A linear layer of 8-bit weights, for the CPU: activations are quantised as they come, one scale a position.

The usual dynamic quantisation takes one scale for a whole batch, so that a loud neighbour would coarsen a quiet row.
Here every position has its own: a row stays independent of its neighbours, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

LEVELS = 127  # of a signed byte, on either side of zero
_LEAST = 1e-12  # of a scale: a position of zeros stays zeros


class Int8Linear(nn.Module):
    """weight: (N, K) int8; weight_scale: (N,) float32, one an output channel."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(outputs, inputs, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.empty(outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x: (…, K) → (…, N), of the same kind of number."""
        rows = x.reshape(-1, x.shape[-1]).float()
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min(_LEAST) / LEVELS
        levels = torch.round(rows / scale).to(torch.int8)
        out = torch._int_mm(levels, self.weight.t()).float() * scale * self.weight_scale  # noqa: SLF001 - torch's only int8 product
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*x.shape[:-1], -1).to(x.dtype)


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) of floating point → (N, K) int8 and (N,) float32, symmetric, by each row's largest value."""
    scale = weight.float().abs().amax(dim=1).clamp_min(_LEAST) / LEVELS
    return torch.round(weight.float() / scale[:, None]).to(torch.int8), scale


def replace_linear(module: nn.Module, names: Iterable[str]) -> None:
    """Put unfilled Int8Linear layers in the places of the linear layers so named; KeyError where there is none."""
    for name in names:
        parent, _, leaf = name.rpartition(".")
        try:
            holder = module.get_submodule(parent)
        except AttributeError:
            raise KeyError(name) from None
        linear = getattr(holder, leaf, None)
        if not isinstance(linear, nn.Linear):
            raise KeyError(name)
        setattr(holder, leaf, Int8Linear(linear.in_features, linear.out_features, bias=linear.bias is not None))
