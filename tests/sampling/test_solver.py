import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from megatts3.sampling.noise import RecordedNoise
from megatts3.sampling.solver import SOLVERS, Move, advance, euler, overshoot, sample_latent
from megatts3.sampling.time_grid import GRIDS, eased, sway, uniform

TABLES = load_file(Path(__file__).parents[1] / "golden" / "dit" / "sampler_tables.safetensors")

times = st.tuples(st.floats(0.0, 0.999), st.floats(1e-3, 1.0)).filter(lambda pair: pair[0] + 1e-4 < pair[1])


@pytest.mark.parametrize("steps", [1, 4, 10, 32])
def test_grid_and_overshoot_agree_with_the_recorded_tables(steps):
    grid = sway(steps)
    assert grid == pytest.approx(TABLES[f"schedule.{steps}"].tolist(), abs=1e-6)
    moves = [overshoot(t, t_next) for t, t_next in pairwise(grid)]
    assert [m.keep for m in moves] == pytest.approx(TABLES[f"amo_a.{steps}"].tolist(), abs=1e-5)
    assert [m.noise for m in moves] == pytest.approx(TABLES[f"amo_b.{steps}"].tolist(), abs=1e-5)
    targets = [m.reach + t for m, t in zip(moves, grid, strict=False)]
    assert targets == pytest.approx(TABLES[f"amo_o.{steps}"].tolist(), abs=1e-5)


@pytest.mark.parametrize("name", GRIDS)
@given(steps=st.integers(1, 100))
def test_a_grid_starts_at_noise_ends_at_data_and_rises(name, steps):
    grid = GRIDS[name](steps)
    assert len(grid) == steps + 1
    assert (grid[0], grid[-1]) == (0.0, 1.0)
    assert all(t < t_next for t, t_next in pairwise(grid))


@pytest.mark.parametrize("steps", [8, 16])
def test_an_eased_grid_starts_slowly_and_ends_more_slowly_than_sway(steps):
    lengths = [t_next - t for t, t_next in pairwise(eased(steps))]
    swayed = [t_next - t for t, t_next in pairwise(sway(steps))]
    assert lengths[0] < 0.5 / steps
    assert lengths[-1] < 0.75 * swayed[-1]
    assert max(lengths) < max(swayed)


@given(times)
def test_the_overshoot_never_leaves_the_interval_and_restores_the_noise_level(pair):
    t, t_next = pair
    move = overshoot(t, t_next)
    target = t + move.reach
    assert t_next - 1e-12 <= target <= 1.0 + 1e-12
    assert 0.0 <= move.keep <= 1.0 + 1e-12
    level = math.hypot(move.keep * (1.0 - target), move.noise)
    assert level == pytest.approx(1.0 - t_next, abs=1e-9)


def test_the_last_step_adds_no_noise():
    assert overshoot(0.9, 1.0) == Move(pytest.approx(0.1), 1.0, 0.0)
    assert euler(0.9, 1.0) == Move(pytest.approx(0.1), 1.0, 0.0)


def no_noise(frames=5, channels=3, steps=100):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(frames, channels, generator=generator, dtype=torch.float64)
    return RecordedNoise(start, torch.randn(steps, frames, channels, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("steps", [1, 7, 32])
def test_a_constant_velocity_is_integrated_exactly(steps):
    noise, drift = no_noise(), torch.full((5, 3), 2.5, dtype=torch.float64)
    found = sample_latent(lambda _x, _t: drift, noise, uniform(steps), euler)
    torch.testing.assert_close(found, noise.initial() + drift)


def test_euler_converges_to_the_known_solution_of_exponential_decay():
    noise = no_noise()
    errors = [
        float((sample_latent(lambda x, _t: -x, noise, uniform(n), euler) - noise.initial() / math.e).abs().max())
        for n in (25, 50, 100)
    ]
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.05)
    assert errors[2] == pytest.approx(errors[1] / 2, rel=0.05)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("steps", [1, 4, 32])
def test_the_velocity_towards_one_point_leads_to_that_point_whatever_the_noise(name, steps):
    """With a single datum d, the velocity is (d - x) / (1 - t), and every sample is d."""
    datum = torch.linspace(-2, 2, 15, dtype=torch.float64).reshape(5, 3)
    found = sample_latent(lambda x, t: (datum - x) / (1 - t), no_noise(), sway(steps), SOLVERS[name])
    torch.testing.assert_close(found, datum)


@pytest.mark.parametrize("name", SOLVERS)
def test_gaussian_data_keep_their_mean_and_spread(name):
    """For data N(m, s²) the velocity is known in closed form; enough samples and steps show both."""
    mean, spread, count, steps = 1.5, 0.5, 10_000, 256

    def velocity(x, t):
        variance = (1 - t) ** 2 + (t * spread) ** 2
        return mean + (t * spread**2 - (1 - t)) / variance * (x - t * mean)

    generator = torch.Generator().manual_seed(1)
    noise = RecordedNoise(
        torch.randn(count, 1, generator=generator, dtype=torch.float64),
        torch.randn(steps, count, 1, generator=generator, dtype=torch.float64),
    )
    found = sample_latent(velocity, noise, sway(steps), SOLVERS[name])
    assert found.mean().item() == pytest.approx(mean, abs=0.03)
    assert found.std().item() == pytest.approx(spread, abs=0.05)


def test_one_move_per_row_equals_each_row_moved_alone():
    generator = torch.Generator().manual_seed(2)
    x, velocity, noise = (torch.randn(3, 6, 4, generator=generator) for _ in range(3))
    moves = [overshoot(0.0, 0.1), euler(0.3, 0.5), overshoot(0.8, 1.0)]
    together = advance(x, velocity, noise, moves)
    for row, move in enumerate(moves):
        torch.testing.assert_close(together[row], advance(x[row], velocity[row], noise[row], move))


def test_a_half_precision_velocity_leaves_the_state_in_float32():
    x = torch.zeros(2, 4, 3)
    assert advance(x, x.bfloat16(), x, [euler(0.0, 0.5)] * 2).dtype == torch.float32
    assert advance(x, x.bfloat16(), x, euler(0.0, 0.5)).dtype == torch.float32
