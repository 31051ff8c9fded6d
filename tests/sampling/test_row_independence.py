"""A row's latent does not change with its neighbours, its place, or the moment it joined."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.config import DiTConfig
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.sampling.noise import RowNoise
from megatts3.sampling.solver import advance, overshoot, sample_latent
from megatts3.sampling.time_grid import sway

LATENTS, PHONES, STEPS = (14, 8, 20), (6, 4, 9), (3, 4, 2)


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(2)
    config = DiTConfig(dim=32, n_layers=2, n_heads=2, local_cond_dim=16, ph_layers=1, ph_heads=2, ph_filter=32)
    network = DiffusionTransformer(config).requires_grad_(requires_grad=False).eval()
    for parameter in network.parameters():
        parameter.normal_(std=0.15)
    return network


class Prepared:
    """One row: conditioning, prompt mask, grid and noise of its own."""

    def __init__(self, dit, row):
        generator = torch.Generator().manual_seed(row)
        latents, phones = LATENTS[row], PHONES[row]
        ids = torch.randint(3, 174, (1, phones), generator=generator)
        ends = torch.linspace(0, 4 * latents, phones + 1).round().int()
        frame_to_phone = torch.repeat_interleave(torch.arange(1, phones + 1), ends.diff())[None]
        self.mask = (torch.arange(latents) < 4).float()[None, :, None]
        context = torch.randn(1, latents, 32, generator=generator) * self.mask
        text = dit.encode_text(ids, torch.full_like(ids, 3), frame_to_phone)
        self.conditioning = dit.conditioning(text, dit.local_condition(context, self.mask))
        self.grid, self.noise = sway(STEPS[row]), RowNoise.from_seed(100 + row, latents)


@pytest.fixture(scope="module")
def alone(dit):
    latents = []
    for row in range(3):
        own = Prepared(dit, row)
        latents.append(
            sample_latent(
                lambda x, t, own=own: dit.velocity(x[None], torch.tensor([t]), own.conditioning, own.mask)[0],
                own.noise,
                own.grid,
                overshoot,
            )
        )
    return latents


def pad(tensors):
    return torch.nn.utils.rnn.pad_sequence(list(tensors), batch_first=True)


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(3)), joins=st.tuples(*[st.integers(0, 4)] * 3))
def test_a_row_ends_as_it_does_alone_whoever_is_beside_it_and_whenever_it_joined(dit, alone, order, joins):
    rows = {row: Prepared(dit, row) for row in order}
    states = {row: rows[row].noise.initial() for row in order}
    done = dict.fromkeys(order, 0)
    for tick in range(max(joins) + max(STEPS)):
        active = [row for row in order if joins[row] <= tick and done[row] < STEPS[row]]
        if not active:
            continue
        x = pad(states[row] for row in active)
        key_mask = torch.arange(x.shape[1]) < torch.tensor([LATENTS[row] for row in active])[:, None]
        spans = [rows[row].grid[done[row] : done[row] + 2] for row in active]
        velocity = dit.velocity(
            x,
            torch.tensor([t for t, _ in spans]),
            pad(rows[row].conditioning[0] for row in active),
            pad(rows[row].mask[0] for row in active),
            key_mask,
        )
        noise = pad(rows[row].noise.at(done[row]) for row in active)
        moved = advance(x, velocity, noise, [overshoot(*span) for span in spans])
        for place, row in enumerate(active):
            states[row] = moved[place, : LATENTS[row]]
            done[row] += 1
    for row in order:
        torch.testing.assert_close(states[row], alone[row], rtol=1e-4, atol=1e-4)
