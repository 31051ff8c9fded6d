"""Rows of different lengths and branches, padded and taken apart again."""

import pytest
import torch

from megatts3.engine.batch import pad_rows
from megatts3.sampling.params import SamplingParams
from tests.engine.prepared_rows import prepare


@pytest.fixture
def rows(tiny, frontend, voice):
    """Three branches, two branches, three branches; short, long, middle."""
    spared = SamplingParams(text_guidance=2.0, speaker_guidance=2.0)
    asked = [
        ("a.", voice, SamplingParams()),
        ("a very much longer line, that it is.", voice, spared),
        ("hello there.", voice, SamplingParams()),
    ]
    return [row.payload for row in prepare(tiny, frontend, asked)]


def test_branches_of_a_row_lie_beside_one_another(rows):
    padded = pad_rows(rows)

    assert padded.branches == (3, 2, 3)
    assert padded.owner.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert padded.states.shape[:2] == (8, rows[1].latent_frames)


def test_a_row_keeps_its_own_values_and_zeros_follow_them(rows):
    padded = pad_rows(rows)
    x = padded.x()

    for place, row in zip((0, 3, 5), rows, strict=True):
        torch.testing.assert_close(x[place, row.prompt_frames : row.latent_frames], row.x, rtol=0, atol=0)
        assert not x[place, : row.prompt_frames].any()
        assert not x[place, row.latent_frames :].any()
        assert padded.key_mask[place].sum() == row.latent_frames
        assert padded.prompt_mask[place].sum() == row.voice.latent_frames


def test_taking_apart_gives_each_row_its_branches_over_its_own_target(rows):
    padded = pad_rows(rows)

    for part, row in zip(padded.split(padded.states), rows, strict=True):
        torch.testing.assert_close(part, row.given.states[:, row.prompt_frames :], rtol=0, atol=0)


def test_rows_of_one_length_need_no_mask(rows):
    assert pad_rows([rows[0], rows[0]]).key_mask is None


def test_rows_can_be_padded_to_a_bucket(rows):
    padded = pad_rows(rows, 512)

    assert padded.latent_frames == 512
    assert padded.key_mask.sum(1).tolist() == [row.latent_frames for row in rows for _ in row.given.branches]
