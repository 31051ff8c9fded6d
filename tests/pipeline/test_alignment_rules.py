import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.errors import AlignmentFailed
from megatts3.pipeline.alignment import read_alignment
from megatts3.pipeline.durations import frame_to_phone

GOLDEN = Path(__file__).parents[1] / "golden" / "text"
CASES = json.loads((GOLDEN / "align_postprocess.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_recorded_tokens_become_the_recorded_phones_and_durations(case):
    found = read_alignment(case["tokens"], case["prompt_frames"])
    assert list(found.phones) == case["phones"]
    assert list(found.tones) == case["tones"]
    assert list(found.durations) == case["durations_after_fix"]
    assert frame_to_phone(found.durations).tolist() == case["mel2ph"]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30), st.integers(1, 100))
def test_durations_always_sum_to_the_prompt_and_are_never_negative(durations, eighths):
    ends = [sum(durations[: i + 1]) for i in range(len(durations))]
    body = [token for end in ends for token in (145, 800 + end)]
    found = read_alignment([798, *body, 799], 8 * eighths).durations
    assert sum(found) == 8 * eighths
    assert min(found) >= 0
    if sum(durations) >= 8 * eighths:
        assert all(now <= then for now, then in zip(found, durations, strict=True))


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [798],
        [798, 799],
        [798, 145, 799],
        [798, 145, 810],
        [798, 145, 810, 30, 820],
        [798, 810, 145, 799],
        [798, 0, 810, 799],
        [798, 145, 900, 30, 850, 799],
        [798, 789, 900, 799],
        [798, 145, 300, 799],
    ],
)
def test_tokens_that_make_no_sense_are_a_failed_alignment(tokens):
    with pytest.raises(AlignmentFailed):
        read_alignment(tokens, 160)


def test_an_end_time_a_little_before_the_one_before_is_taken_as_equal_to_it():
    assert read_alignment([798, 145, 900, 30, 896, 40, 960, 799], 160).durations == (100, 0, 60)
