"""Building networks without drawing their random first values, which loading would replace anyway."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS: frozenset[Callable[..., Any]] = frozenset(
    {
        nn.init.kaiming_uniform_,
        nn.init.xavier_uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
    }
)


class Unfilled(TorchFunctionMode):
    """Inside, random initialisation does nothing: memory is reserved and not written.

    The meta device would do the same, but the first random call on it loads torch's compiler, for seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],  # Any: torch functions of every kind come by here
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else given["tensor"]
        return func(*args, **given)
