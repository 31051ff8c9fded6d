"""Few steps against many: what is compared is the same noise, and the table says what was found."""

import pytest

from megatts3.benchmark.few_steps import Distance, Distances, distance_table, measure_distances
from megatts3.benchmark.request import requests
from megatts3.benchmark.subject import BenchVoice, Subject
from megatts3.sampling.params import SamplingParams


@pytest.fixture(scope="module")
def distances(tiny, frontend, voice, recording):
    subject = Subject("tiny", tiny, frontend, (BenchVoice("a", recording(), voice),))
    asked = requests(subject, ["a line.\nand another."], subject.voices, SamplingParams(seed=3))
    return measure_distances(subject, asked, (2, 8, 24), grids=("sway", "uniform"), many=24)


def by_steps(distances, grid, solver):
    return [d.relative for d in distances.found if (d.grid, d.solver) == (grid, solver)]


def test_more_steps_come_nearer_and_the_goal_is_at_no_distance(distances):
    assert distances.segments == 2
    two, eight, all_of_them = by_steps(distances, "sway", "euler")
    assert two > eight > all_of_them
    assert all_of_them == pytest.approx(0.0, abs=1e-5)
    assert by_steps(distances, "sway", "overshoot")[-1] == pytest.approx(0.0, abs=1e-5)
    assert by_steps(distances, "uniform", "euler")[-1] > 1e-4


def test_only_a_solver_that_adds_noise_has_a_floor(distances):
    assert distances.floors["euler"] == 0.0
    assert distances.floors["overshoot"] > 0.01


def test_the_table_has_a_row_for_every_grid_of_every_solver():
    found = (Distance("sway", "euler", 8, 0.25), Distance("sway", "euler", 16, 0.125))
    table = distance_table(Distances(1, {"euler": 0.0}, found))
    assert table.splitlines()[0] == "| solver | grid | 8 steps | 16 steps | two draws of many |"
    assert table.splitlines()[2] == "| euler | sway | 0.250 | 0.125 | 0.000 |"
