"""The serving forward gives what the network gives, for rows of any length, branches, times and neighbours."""

import math

import pytest
import torch

from megatts3.config import DiTConfig
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.layers.packed_linear import PackedLinear
from megatts3.models.packed_dit import PackedDiT, RowTime, fused_attention, plain_attention

ROWS = ((3, 30, 11), (2, 7, 6), (1, 19, 1), (3, 30, 4))  # branches, latent frames, prompt frames


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(3)
    network = DiffusionTransformer(DiTConfig(dim=48, n_layers=3, n_heads=4, local_cond_dim=8, ph_layers=1, ph_heads=2))
    for parameter in network.parameters():  # a fresh one's zeros would hide mistakes
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval().requires_grad_(False)


def inputs(seed=0):
    draw = torch.Generator().manual_seed(seed)
    states = [torch.randn(k, t, 48, generator=draw) for k, t, _ in ROWS]
    x = [torch.randn(t, 32, generator=draw) for _, t, _ in ROWS]
    return states, x, torch.rand(len(ROWS), generator=draw)


def expected(dit, states, x, t, row):
    branches, frames, prompt = ROWS[row]
    mask = torch.zeros(branches, frames, 1)
    mask[:, :prompt] = 1.0
    times = t[row].expand(branches)
    with torch.inference_mode():
        return dit.velocity(x[row].expand(branches, -1, -1), times, states[row], mask)[:, prompt:]


def packed(dit, states, x, t, rows, dtype=torch.float32, attention=fused_attention):
    forward = PackedDiT(dit, dtype, attention)
    with torch.inference_mode():
        times = RowTime.of_grid(dit.modulations(t))
        packed_rows = forward.pack([states[row] for row in rows], [ROWS[row][2] for row in rows])
        return forward.velocity([x[row][ROWS[row][2] :] for row in rows], packed_rows, [times[row] for row in rows])


@pytest.mark.parametrize("attention", [fused_attention, plain_attention])
@pytest.mark.parametrize("rows", [(0,), (1,), (0, 1, 2, 3), (3, 2, 1, 0)])
def test_every_row_has_the_velocity_it_has_alone(golden, dit, rows, attention):
    states, x, t = inputs()
    for row, found in zip(rows, packed(dit, states, x, t, rows, attention=attention), strict=True):
        golden.assert_near(found, expected(dit, states, x, t, row), limit=1e-5)


def test_rows_that_packed_do_not_change_what_was_handed_in(dit):
    states, x, t = inputs()
    before = [tensor.clone() for tensor in (*states, *x)]
    packed(dit, states, x, t, (0, 1, 2, 3))

    for tensor, kept in zip((*states, *x), before, strict=True):
        torch.testing.assert_close(tensor, kept, rtol=0, atol=0)


def test_what_the_prompt_span_of_x_holds_does_not_matter(dit):
    """The packed forward never sees it; the network multiplies it away."""
    states, x, t = inputs()
    x[0][: ROWS[0][2]] = 1e3
    torch.testing.assert_close(packed(dit, states, x, t, (0,))[0], expected(dit, states, x, t, 0), rtol=1e-4, atol=1e-4)


def test_in_bfloat16_it_is_near(golden, dit):
    states, x, t = inputs()
    for row, found in enumerate(packed(dit, states, x, t, (0, 1, 2, 3), torch.bfloat16, plain_attention)):
        assert found.dtype == torch.float32
        golden.assert_near(found, expected(dit, states, x, t, row), limit=0.03)


@pytest.mark.parametrize("activation", ["none", "swish"])
@pytest.mark.parametrize("reordered", [True, False])
def test_a_packed_product_is_the_layers_own(activation, reordered, monkeypatch):
    """With oneDNN and, where that cannot be had, without."""
    if not reordered:
        monkeypatch.setattr("megatts3.models.layers.packed_linear.reorder", lambda _: None)
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(24, 40), torch.randn(7, 24)
    with torch.inference_mode():
        product = PackedLinear(layer.weight, layer.bias, torch.float32)
        wanted = layer(x) if activation == "none" else torch.nn.functional.silu(layer(x))
        torch.testing.assert_close(product(x, activation), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "length", [1.0, 40.0]
)  # of the vectors: scores within and far beyond what may be summed at once
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_without_a_softmax_is_a_softmax_however_large_the_scores(length, dtype):
    draws = torch.Generator().manual_seed(4)
    query, key, value = (torch.randn(2, 3, 50, 32, generator=draws) for _ in range(3))
    query, key = ((length * x / x.norm(dim=-1, keepdim=True)).to(dtype).float() for x in (query, key))
    scores = math.log(2) * (query.double() @ key.double().transpose(-1, -2))  # theirs are to the base of 2
    wanted = torch.softmax(scores, dim=-1) @ value.to(dtype).double()

    found = plain_attention(query, key, value.to(dtype))

    assert found.dtype == dtype
    error = (found.double() - wanted).norm() / wanted.norm()
    assert error < {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}[dtype]
