"""What a step costs: measured, fitted, and what follows for who shares one."""

import pytest
import torch

from megatts3.engine.calibration import calibrate, choose_rows
from megatts3.engine.config import EngineConfig
from megatts3.engine.forwards import PackedForward, PaddedForward
from megatts3.engine.step_cost import StepCost, fit, rows_worth_sharing
from megatts3.models.packed_dit import fused_attention


class Forward:
    """Takes the time that a test says, by its clock."""

    pads = True

    def __init__(self, seconds_of_rows):
        self.now_s, self._seconds = 0.0, seconds_of_rows

    def velocities(self, rows, steps):
        self.now_s += self._seconds(len(rows))

    def computed_frames(self, rows):
        return sum(row.latent_frames for row in rows)

    def forget_rows(self):
        pass


def calibrated(networks, seconds_of_rows, **config):
    forward = Forward(seconds_of_rows)
    return calibrate(networks, forward, EngineConfig(**config), timer=lambda: forward.now_s), forward.now_s


def test_a_processor_that_gains_nothing_from_rows_takes_few(tiny):
    found, _ = calibrated(tiny, lambda rows: 0.1 * rows, max_rows=16, calibrate_s=60.0)

    assert found.rows == 1
    assert found.cost.fixed_s == pytest.approx(0.0, abs=1e-9)
    assert found.cost.seconds([256]) == pytest.approx(0.1)


def test_a_device_that_does_many_in_the_time_of_one_takes_all(tiny):
    found, _ = calibrated(tiny, lambda rows: 0.020 + 0.001 * rows, max_rows=64, calibrate_s=60.0)

    assert found.rows == 64
    assert found.cost.fixed_s == pytest.approx(0.020)
    assert found.cost.frame_s == pytest.approx(0.001 / 256)


def test_rows_that_cost_more_in_larger_batches_are_not_put_together(tiny):
    found, _ = calibrated(tiny, lambda rows: rows * (0.1 if rows <= 2 else 0.15) + 0.05, max_rows=16, calibrate_s=60.0)

    assert found.rows == 2


def test_measuring_keeps_to_its_budget(tiny):
    found, spent_s = calibrated(tiny, lambda rows: 1.0 * rows, max_rows=64, calibrate_s=10.0)

    assert spent_s < 20.0
    assert found.rows == 1


def test_a_step_that_takes_the_whole_budget_is_left_to_one_row(tiny):
    found, _ = calibrated(tiny, lambda rows: 8.0 * rows, max_rows=4, calibrate_s=3.0)

    assert found.rows == 1


def test_another_process_in_the_way_does_not_make_rows_share(tiny):
    calls = []

    def seconds(rows):
        calls.append(rows)
        return 0.1 * rows * (1.5 if calls.count(rows) == 3 else 1.0)  # the first that counts

    found, _ = calibrated(tiny, seconds, max_rows=16, calibrate_s=60.0)

    assert found.rows == 1


def test_a_budget_that_ends_while_more_rows_still_gain_leaves_the_configured(tiny):
    found, _ = calibrated(tiny, lambda rows: 1.0 + 0.01 * rows, max_rows=32, calibrate_s=10.0)

    assert found.rows == 32


def test_on_a_cpu_a_step_is_one_rows_however_the_measure_would_have_come_out(tiny):
    forward = Forward(lambda rows: 0.02)  # as if rows cost nothing
    left_to_choose = choose_rows(tiny, forward, EngineConfig(max_rows=8, calibrate_s=60.0), timer=lambda: forward.now_s)
    told = choose_rows(tiny, forward, EngineConfig(max_rows=8))

    assert (left_to_choose.rows, told.rows, forward.now_s) == (1, 8, 0.0)


def test_without_a_budget_nothing_is_measured(tiny):
    found, spent_s = calibrated(tiny, lambda rows: 1.0, max_rows=7, max_latent_frames=900)

    assert (found.rows, found.latent_frames, spent_s) == (7, 900, 0.0)


def test_memory_that_is_short_while_measuring_bounds_the_rows(tiny):
    def seconds(rows):
        if rows > 4:
            raise torch.OutOfMemoryError("out of memory")
        return 0.02

    found, _ = calibrated(tiny, seconds, max_rows=16, calibrate_s=60.0)

    assert found.rows == 4


@pytest.mark.parametrize("make", [lambda dit: PackedForward.of(dit, torch.float32, fused_attention), PaddedForward])
def test_a_real_forward_can_be_measured(tiny, make):
    found = calibrate(tiny, make(tiny.dit), EngineConfig(max_rows=2, calibrate_s=0.5))

    assert found.rows in (1, 2)
    assert found.cost.frame_s > 0


def test_padding_is_accepted_where_a_further_step_would_cost_more():
    dear = StepCost(fixed_s=0.1, frame_s=0.0001, pads=True, max_padding=0.0)
    cheap = StepCost(fixed_s=0.001, frame_s=0.0001, pads=True, max_padding=0.0)

    assert dear.is_worth_joining([300], 100)
    assert not cheap.is_worth_joining([300], 100)
    assert cheap.is_worth_joining([300], 300)
    assert StepCost(pads=False).is_worth_joining([300], 1)


def test_a_line_is_fitted_through_what_was_measured():
    assert fit({1: 3.0, 2: 5.0, 4: 9.0}, 10) == pytest.approx((1.0, 0.2))
    assert fit({1: 3.0}, 10) == (0.0, 0.3)
    assert fit({1: 3.0, 2: 2.0}, 10) == (2.5, 0.0)
    assert rows_worth_sharing({1: 1.0, 2: 1.96, 4: 3.4}) == 4
    assert rows_worth_sharing({1: 1.0, 2: 1.96, 4: 3.7}) == 1
