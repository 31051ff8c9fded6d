"""What an attention remembers of the positions before."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one attention, (B, heads, N, head_dim) each. Never changed in place."""

    key: Tensor
    value: Tensor

    def then(self, later: "KeyValue") -> Self:
        """This, followed in time by ``later``."""
        return type(self)(torch.cat((self.key, later.key), dim=2), torch.cat((self.value, later.value), dim=2))
