"""Every forward gives each row what it has alone, remembers only the rows it has, and is checked before it is used."""

import copy
import time
from dataclasses import replace
from functools import partial

import pytest
import torch

from megatts3.engine.config import EngineConfig
from megatts3.engine.cuda_graphs import Bucket, bucket_of, fit, round_frames
from megatts3.engine.forward_choice import choose_forward, typical_row
from megatts3.engine.forwards import PackedForward, PaddedForward
from megatts3.models import packed_dit
from megatts3.models.packed_dit import fused_attention
from megatts3.sampling.params import SamplingParams
from tests.engine.prepared_rows import prepare

SPARED = SamplingParams(text_guidance=2.0, speaker_guidance=2.0)


@pytest.fixture(scope="module")
def rows(tiny, frontend, voice):
    asked = [("a.", voice, SamplingParams()), ("a much longer line, it is.", voice, SPARED)]
    return [row.payload for row in prepare(tiny, frontend, [*asked, ("hello.", voice, SamplingParams(steps=3))])]


def packed(tiny):
    return PackedForward.of(tiny.dit, torch.float32, fused_attention)


def by_bucket(tiny):
    return PaddedForward(tiny.dit, bucket=round_frames)


@pytest.mark.parametrize("make", [packed, by_bucket, lambda tiny: PaddedForward(tiny.dit)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0), (1,)])
@torch.inference_mode()
def test_a_forward_gives_each_row_what_it_has_alone(tiny, rows, make, order):
    forward = make(tiny)
    some, steps = [rows[n] for n in order], [(0, 7, 2)[n] for n in order]
    for row, step, found in zip(some, steps, forward.velocities(some, steps), strict=True):
        (alone,) = PaddedForward(tiny.dit).velocities([row], [step])
        assert found.shape == (len(row.given.branches), row.latent_frames - row.prompt_frames, 32)
        assert float((found - alone).abs().max() / alone.abs().max()) < 1e-5


@torch.inference_mode()
def test_another_batch_is_not_taken_for_the_one_before(tiny, rows):
    """Rows join, leave and change places: what was laid out for the last batch is not used for the next."""
    for forward in (packed(tiny), by_bucket(tiny)):
        for some in ([rows[0], rows[1]], [rows[1], rows[0]], [rows[1]], [rows[1], rows[2]]):
            for row, found in zip(some, forward.velocities(some, [0] * len(some)), strict=True):
                (alone,) = PaddedForward(tiny.dit).velocities([row], [0])
                torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


def test_end_to_end_nothing_is_padded_side_by_side_it_is_told(tiny, rows):
    lengths = [row.latent_frames for row in rows]

    assert packed(tiny).computed_frames(rows) == sum(lengths)
    assert PaddedForward(tiny.dit).computed_frames(rows) == 3 * max(lengths)
    assert by_bucket(tiny).computed_frames(rows) == 3 * round_frames(max(lengths))


def test_a_cpu_lays_rows_end_to_end_and_padding_can_be_asked_for(tiny):
    assert isinstance(choose_forward(tiny, EngineConfig()), PackedForward)
    assert isinstance(choose_forward(tiny, EngineConfig(forward="padded")), PaddedForward)


@torch.inference_mode()
def test_which_forward_is_taken_does_not_depend_on_how_busy_the_machine_is(tiny, rows, monkeypatch):
    """Workers that chose differently would speak differently: in half precision their last bits are not the same."""
    networks = replace(tiny, dit=copy.deepcopy(tiny.dit).to(torch.bfloat16))
    plain = packed_dit.plain_attention
    found = []
    for waits in ("fused", "plain"):
        for name in ("fused", "plain"):
            honest = fused_attention if name == "fused" else plain
            slow = partial(_slowly, honest, 0.02 if name == waits else 0.0)
            monkeypatch.setattr(f"megatts3.engine.forward_choice.{name}_attention", slow)
        found.append(choose_forward(networks, EngineConfig(precision="bf16")).velocities([rows[0]], [0])[0])

    assert torch.equal(*found)


def _slowly(attention, seconds, *parts):
    time.sleep(seconds)
    return attention(*parts)


@pytest.mark.parametrize("fault", ["raises", "lies"])
def test_a_forward_that_does_not_agree_with_the_network_is_not_taken(tiny, monkeypatch, caplog, fault):
    honest = PackedForward.velocities

    def velocities(self, rows, steps):
        if fault == "raises":
            raise RuntimeError("no such kernel")
        return [1.01 * found for found in honest(self, rows, steps)]

    monkeypatch.setattr(PackedForward, "velocities", velocities)
    found = choose_forward(tiny, EngineConfig())

    assert isinstance(found, PaddedForward)
    assert "forward_unusable" in caplog.text or "forward_disagrees" in caplog.text


def test_a_typical_row_can_be_spoken_of_before_anybody_has_spoken(tiny):
    row = typical_row(tiny)

    assert row.latent_frames == row.segment.latent_frames + row.prompt_frames
    assert row.x.shape == (row.latent_frames - row.prompt_frames, 32)


# ---- recorded forwards: what can be said without a device


def test_a_bucket_holds_its_batch_and_wastes_little():
    for branches in range(1, 200):
        for frames in (1, 31, 32, 33, 462, 1000):
            bucket = bucket_of(branches, frames)
            assert bucket.branches >= branches
            assert bucket.latent_frames >= frames
            assert bucket.latent_frames - frames < 32
            assert bucket.branches - branches < 12


def test_few_buckets_serve_all_batches():
    assert bucket_of(3, 462) == Bucket(3, 480)
    assert bucket_of(4, 470) == bucket_of(6, 449) == Bucket(6, 480)
    assert len({bucket_of(3 * rows, frames) for rows in range(1, 65) for frames in range(200, 800)}) < 400


def test_a_batch_is_padded_on_the_right_to_its_recording():
    place = torch.zeros(6, 5, 2)
    found = fit(torch.ones(4, 3, 2), place)

    assert found.shape == (4, 5, 2)
    assert found[:, :3].all()
    assert not found[:, 3:].any()
    assert fit(torch.ones(4, 3, dtype=torch.bool), torch.zeros(6, 5, dtype=torch.bool)).sum() == 12
