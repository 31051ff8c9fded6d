"""Reading golden numbers, and comparing with them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "golden"
LIMIT = 1e-4


class Golden:
    """The golden numbers, and how near to them is near enough."""

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(GOLDEN / f"{name}.safetensors")

    def metadata(self, name: str) -> dict[str, str]:
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as stored:
            return stored.metadata() or {}

    def json(self, name: str):
        return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))

    def error(self, found: Tensor, expected: Tensor) -> float:
        """Largest difference, as a share of the largest expected value."""
        assert found.shape == expected.shape
        return float((found - expected).abs().max() / expected.abs().max())

    def assert_near(self, found: Tensor, expected: Tensor, limit: float = LIMIT, what: str = "") -> None:
        assert self.error(found, expected) <= limit, what

    def fill(self, module: nn.Module, name: str, *, unused: tuple[str, ...] = ()) -> None:
        """Load golden weights; every name must be known but for those that begin as ``unused`` says."""
        weights = {k: v for k, v in self.tensors(name).items() if not k.startswith(unused or ("\0",))}
        module.load_state_dict(weights, strict=True)
        module.eval()

    @contextmanager
    def outputs(self, module: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
        """Every submodule's outputs while inside, by name, in order of the calls."""
        seen: dict[str, list[Tensor]] = {}
        hooks = [
            child.register_forward_hook(
                lambda _module, _inputs, output, name=name: seen.setdefault(name, []).append(output)
            )
            for name, child in module.named_modules()
        ]
        yield seen
        for hook in hooks:
            hook.remove()


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


@pytest.fixture(autouse=True)
def _no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing here trains, but for tests that say so by their name."""
    with torch.set_grad_enabled("gradient" in request.node.name):
        yield
