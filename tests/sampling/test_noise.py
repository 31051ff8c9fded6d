import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from megatts3.sampling.noise import RowNoise, segment_seed

seeds = st.integers(-(2**63), 2**63 - 1)


@given(seeds, st.integers(1, 40))
def test_the_same_seed_gives_the_same_noise_and_nobody_elses_draws_change_it(seed, frames):
    first = RowNoise.from_seed(seed, frames)
    expected = [first.initial(), first.at(0), first.at(1)]
    again, neighbour = RowNoise.from_seed(seed, frames), RowNoise.from_seed(seed ^ 1, frames + 3)
    found = [again.initial()]
    neighbour.initial()
    torch.rand(3)
    found += [again.at(0), again.at(1)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert found[0].shape == (frames, 32)


def test_noise_is_drawn_in_order_or_not_at_all():
    noise = RowNoise.from_seed(1, 4)
    with pytest.raises(AssertionError):
        noise.at(0)
    noise.initial()
    with pytest.raises(AssertionError):
        noise.at(1)


@given(seeds, st.integers(0, 500), st.integers(0, 500))
def test_segments_of_a_request_have_seeds_of_their_own(seed, one, other):
    assert 0 <= segment_seed(seed, one) < 2**63
    assert (segment_seed(seed, one) == segment_seed(seed, other)) == (one == other)


def test_the_seed_of_a_segment_never_changes_between_versions():
    assert [segment_seed(0, 0), segment_seed(0, 1), segment_seed(-7, 2)] == [
        6_213_027_144_842_677_344,
        8_613_600_020_916_457_518,
        3_593_175_235_610_075_389,
    ]
