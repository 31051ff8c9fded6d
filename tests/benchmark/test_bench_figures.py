"""Numbers from windows, and what is made of them."""

import json

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from megatts3.benchmark import judged as j
from megatts3.benchmark.ceiling import dit_operations, matrix_ceiling
from megatts3.benchmark.figures import Cell, cell, percentile
from megatts3.benchmark.load import Timing, Window
from megatts3.benchmark.pictures import draw_latency, draw_occupancy
from megatts3.benchmark.report import fill_section, to_json, to_markdown
from megatts3.benchmark.suites import Findings
from megatts3.benchmark.texts import LENGTHS, mixed_texts, page
from megatts3.engine.counters import Counters
from megatts3.text.language import language_of


def timing(number, start, first, done, audio_s, wrong=None):
    return Timing(number, start, first, done, 0.5, audio_s, audio_s, wrong)


def window():
    timings = (
        timing(0, 10.0, 11.0, 12.0, 4.0),
        timing(1, 10.0, 12.0, 14.0, 6.0),
        timing(2, 11.0, 14.0, 15.0, 5.0, "no"),
    )
    before = Counters(steps=10, row_steps=20, useful_frames=1000, computed_frames=1000)
    after = Counters(steps=20, row_steps=50, useful_frames=1900, computed_frames=2000, step_s=2.5, scheduler_s=0.1)
    return Window(timings, 4.0, before, after)


def make(contender="ours", load=16, **changes):
    found = cell(
        contender, "closed", load, [window()], operations=100.0, ceiling=40.0, ceiling_meanwhile=30.0, threads=2
    )
    return Cell(**{**found.__dict__, **changes})


def test_figures_of_a_window():
    found = make()
    assert (found.latency_p50, found.latency_p95) == (4.0, 4.0)
    assert (found.first_audio_p50, found.first_audio_p95) == (2.0, 3.0)
    assert found.duration_s == 5.0
    assert found.audio_per_s == pytest.approx(10.0 / 5.0)  # what was wrong is no sound
    assert found.rtf == pytest.approx(0.5)
    assert (found.rows_per_step, found.padding_waste) == (3.0, pytest.approx(0.1))
    assert found.steps_per_s == 2.0
    assert found.ceiling_share == pytest.approx(100.0 / (2.5 * 40.0))
    assert found.machine_share == pytest.approx(0.75)  # of what it did at the start
    assert found.scheduler_share == pytest.approx(0.04)
    assert found.processor_share == pytest.approx(0.4)
    assert found.wrong == ("request 2: no",)


def test_a_percentile_is_one_of_the_values():
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([3.0], 0.5) == 3.0


def test_a_ratio_is_by_the_clock_unless_the_machine_was_busy():
    ours = make(audio_per_s=4.0, processor_per_audio_s=0.1, processor_share=0.9)
    theirs = make("reference", audio_per_s=2.0, processor_per_audio_s=0.3, processor_share=0.9)
    assert j.ratio([ours, theirs], "reference", load=16) == (2.0, f"ours; {j.CLOCK}")
    half = make("ours, bf16", audio_per_s=9.0, processor_per_audio_s=0.05, processor_share=0.9)
    assert j.ratio([ours, half, theirs], "reference", load=16) == (4.5, f"ours, bf16; {j.CLOCK}")
    starved = make("reference", audio_per_s=2.0, processor_per_audio_s=0.3, processor_share=0.2)
    found, basis = j.ratio([ours, starved], "reference", load=16)
    assert (found, basis) == (pytest.approx(3.0), f"ours; {j.PROCESSOR}")
    assert j.ratio([ours], "reference", load=16)[0] is None


def test_growth_that_the_number_of_clients_explains_is_no_cliff():
    alone = make(load=1, latency_p95=2.0, audio_per_s=4.0)
    fair = make(load=8, latency_p95=8.0, audio_per_s=8.0)  # 8 clients, twice the throughput: four times as long
    steep = make(load=16, latency_p95=64.0, audio_per_s=8.0)
    assert j.cliff([alone, fair]) == pytest.approx(1.0)
    assert j.cliff([alone, fair, steep]) == pytest.approx(4.0)
    assert j.cliff([fair, steep]) is None


def test_a_missed_bound_and_wrong_sound_both_fail():
    good = Findings({}, {"x": [make(wrong=())]}, [j.judged("reference", 1.31)])
    assert good.failed == []
    assert len(Findings({}, {}, [j.judged("reference", 1.29)]).failed) == 1
    assert len(Findings({}, {}, [j.judged("padding", 0.16)]).failed) == 1
    assert Findings({}, {"x": [make()]}, []).failed == ["ours, request 2: no"]
    assert Findings({}, {}, [j.judged("padding", None)]).failed == []


def test_the_operations_of_a_row_are_those_that_torch_counts(tiny):
    dit, frames, branches = tiny.dit, 40, 3
    x, states, mask = (
        torch.randn(branches, frames, 32),
        torch.randn(branches, frames, dit.config.dim),
        torch.zeros(3, 40, 1),
    )
    modulations = dit.modulations(torch.full((branches,), 0.5))
    # The counter knows no fused attention on a CPU.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        dit.velocity(x, modulations, states, mask)
    assert dit_operations(dit.config, frames, branches) == pytest.approx(counter.get_total_flops(), rel=1e-6)


def test_the_ceiling_is_that_of_a_computer():
    assert 1e8 < matrix_ceiling("cpu", torch.float32) < 1e14


def test_texts_are_of_both_languages_and_all_lengths_and_never_repeat():
    said = [text for text, _ in zip(mixed_texts(3), range(8 * len(LENGTHS)), strict=False)]
    assert len(set(said)) == len(said)
    by_language = {language: {text.count(mark) for text in said if language_of(text) == language}
                   for language, mark in (("en", ","), ("zh", "，"))}  # fmt: skip
    assert by_language["en"] == by_language["zh"] == {clauses - 1 for clauses in LENGTHS}
    assert said == [text for text, _ in zip(mixed_texts(3), said, strict=False)]
    assert 1_000 <= len(page(1_000, 1)) < 1_250


def test_the_report_has_every_figure(tmp_path):
    findings = Findings({"threads": 2}, {"side by side": [make(), make("baseline")]}, [j.judged("baseline", 4.5)])
    whole = json.loads(to_json(findings))
    assert whole["judged"][0]["must_reached"] is True
    assert whole["judged"][0]["aim_reached"] is False
    assert whole["cells"]["side by side"][1]["contender"] == "baseline"
    text = to_markdown(findings)
    assert "| ≥ 4.00 x | ≥ 10.00 x | 4.50 x | clock | must reached |" in text
    assert "| 75.0 % | 4.0 % |" in text
    assert "request 2: no" in text
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- measured speed: begin -->\nold\n<!-- measured speed: end -->\nafter\n")
    fill_section(document, "speed", text)
    assert "old" not in document.read_text()
    assert document.read_text().startswith("before\n")
    assert document.read_text().endswith("after\n")
    with pytest.raises(ValueError, match="lacks"):
        fill_section(document, "other", text)


def test_pictures_are_drawn(tmp_path):
    cells = [make(load=load) for load in (1, 2, 4)] + [make("reference", load=1)]
    draw_latency(tmp_path / "a" / "latency.png", cells)
    draw_occupancy(tmp_path / "a" / "occupancy.png", cells)
    for name in ("latency", "occupancy"):
        assert (tmp_path / "a" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
