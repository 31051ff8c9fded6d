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


class KeyValueBuffer(KeyValue):
    """The same with room for what follows: `then` writes in place, so that no step copies what was before.

    For one reader: what `then` returns shares the memory, and is what to go on from.
    """

    _keys: Tensor
    _values: Tensor

    @classmethod
    def of(cls, past: KeyValue, room: int) -> Self:
        """room: positions that may still follow."""
        batch, heads, count, width = past.key.shape
        keys = past.key.new_empty(batch, heads, count + room, width)
        values = torch.empty_like(keys)
        keys[:, :, :count], values[:, :, :count] = past.key, past.value
        return cls._view(keys, values, count)

    @classmethod
    def _view(cls, keys: Tensor, values: Tensor, count: int) -> Self:
        found = cls(keys[:, :, :count], values[:, :, :count])
        object.__setattr__(found, "_keys", keys)  # a frozen dataclass is changed only here, at its birth
        object.__setattr__(found, "_values", values)
        return found

    def then(self, later: KeyValue) -> Self:
        """This, followed in time by ``later``, which is written behind it."""
        begin = self.key.shape[2]
        end = begin + later.key.shape[2]
        self._keys[:, :, begin:end] = later.key
        self._values[:, :, begin:end] = later.value
        return self._view(self._keys, self._values, end)
