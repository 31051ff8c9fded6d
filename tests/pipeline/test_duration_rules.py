import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from megatts3.pipeline.durations import (
    Disturbance,
    count_frames,
    durations_from_tokens,
    frame_to_phone,
    prompt_tokens,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "text"
CASES = json.loads((GOLDEN / "duration_postprocess.json").read_text("utf-8"))
REGULATED = json.loads((GOLDEN / "length_regulator.json").read_text("utf-8"))

segments = st.lists(st.tuples(st.integers(0, 128), st.integers(3, 173)), min_size=1, max_size=40)


@pytest.mark.parametrize("case", CASES)
def test_recorded_tokens_become_the_recorded_durations(case):
    disturbance = Disturbance(
        np.array(case["rand_choice"], dtype=np.float32),
        np.array(case["rand_amount"], dtype=np.float32),
        case["dur_disturb"],
    )
    found = durations_from_tokens(
        case["tokens"],
        case["phones"],
        is_first=case["is_first"],
        is_last=case["is_final"],
        disturbance=disturbance,
        alpha=case["dur_alpha"],
    )
    assert list(found) == case["durations"]
    assert frame_to_phone(found).tolist() == case["mel2ph"]


@pytest.mark.parametrize("case", REGULATED)
def test_recorded_durations_are_spread_and_counted_back(case):
    frames = frame_to_phone(case["durations"])
    assert frames.tolist() == case["mel2ph"]
    assert list(count_frames(frames, len(case["durations"]))) == case["counted"]
    assert list(prompt_tokens(case["counted"])) == case["prompt_tokens"]


@given(segments, st.booleans(), st.booleans(), st.floats(0.25, 4.0), st.integers(0, 2**32))
def test_durations_sum_to_a_multiple_of_eight_and_keep_every_pause(segment, is_first, is_last, alpha, seed):
    tokens, phones = zip(*segment, strict=True)
    disturbance = Disturbance.draw(torch.Generator().manual_seed(seed), len(phones))
    found = durations_from_tokens(
        tokens, phones, is_first=is_first, is_last=is_last, disturbance=disturbance, alpha=alpha
    )
    assert len(found) == len(phones)
    assert sum(found) % 8 == 0
    assert min(found) >= 0
    floors = {148: 64, 153: 64, 166: 64, 145: 64, 163: 32, 165: 32}
    for place, (phone, duration) in enumerate(zip(phones, found, strict=True)):
        if place > 0 or not is_first:
            assert duration >= floors.get(phone, 0)
    if is_first and len(found) > 1:
        assert found[0] == 8


@given(st.lists(st.integers(0, 128), min_size=1, max_size=40))
def test_spreading_and_counting_are_inverse(durations):
    assert list(count_frames(frame_to_phone(durations), len(durations))) == durations


def test_without_disturbance_nothing_is_left_to_chance():
    found = durations_from_tokens([20, 11, 31, 5], [145, 30, 101, 148], is_first=True, is_last=True)
    assert found == (8, 10, 30, 64)


def test_pauses_can_be_scaled_with_speed():
    fast = durations_from_tokens(
        [20, 11, 20, 5], [145, 30, 163, 101], is_first=False, is_last=False, alpha=0.5, pause_scale=0.5
    )
    assert fast[0] == 32
    assert fast[2] == 16


def test_draws_are_made_in_the_reference_order():
    generator = torch.Generator().manual_seed(5)
    choice, amount = torch.rand(1, 7, generator=generator), torch.rand(1, 7, generator=generator)
    drawn = Disturbance.draw(torch.Generator().manual_seed(5), 7)
    assert drawn.choice.tolist() == choice[0].tolist()
    assert drawn.amount.tolist() == amount[0].tolist()
