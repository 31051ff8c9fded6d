"""The verdict: what counts as lost, doubled and swapped, and what does not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from scripts.chaos.faults import Fault
from scripts.chaos.ledger import Ledger
from scripts.chaos.mini import MiniReport, compared
from scripts.chaos.poison_voices import note_death
from scripts.chaos.report import Report, as_markdown, make_report, percentile
from scripts.chaos.watch import MemoryWatch


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def judged(ledger: Ledger, faults: tuple[Fault, ...] = ()) -> Report:
    return make_report(ledger, faults, seed=1, spoken_log=Path("/none"), slopes=[])


def accepted(ledger: Ledger, outcome: str, *, audio: str = "", reason: str = ""):
    entry = ledger.open("job", voice=1, parts=1)
    ledger.accept(entry, f"job_{entry.number}")
    entry.audio = audio
    if outcome:
        ledger.close(entry, outcome, reason)
    return entry


def test_a_good_run_is_good(ledger):
    accepted(ledger, "done", audio="right")
    accepted(ledger, "failed", reason="worker_lost").is_poison = True
    accepted(ledger, "cancelled")
    refused = ledger.open("job", voice=1, parts=1)
    ledger.close(refused, "refused")

    report = judged(ledger)

    assert report.is_good
    assert (report.accepted, report.done, report.failed, report.failed_innocent) == (3, 1, {"worker_lost": 1}, 0)


@pytest.mark.parametrize("outcome", ["", "done"])
def test_accepted_and_never_heard_is_lost(ledger, outcome):
    accepted(ledger, outcome)
    report = judged(ledger)
    assert len(report.lost) == 1
    assert not report.is_good


@pytest.mark.parametrize("audio", ["swapped", "broken"])
def test_somebody_elses_audio_is_swapped(ledger, audio):
    accepted(ledger, "done", audio=audio)
    report = judged(ledger)
    assert len(report.swapped) == 1
    assert not report.is_good


def test_two_ends_or_two_jobs_for_one_key_are_doubled(ledger):
    ledger.heard_of("job_1", "done")
    ledger.heard_of("job_1", "done")
    ledger.heard_of("job_2", "running")
    ledger.twice("one Idempotency-Key, two jobs")
    report = judged(ledger)
    assert len(report.doubled) == 2
    assert not report.is_good


def test_an_answer_that_should_not_be_spoils_the_run(ledger):
    ledger.surprise("POST 500 internal")
    assert not judged(ledger).is_good


def test_recovery_counts_kills_that_hit_something_and_names_what_never_recovered(ledger):
    faults = (
        Fault("kill_worker", 1.0, held=2, recovery_s=4.0),
        Fault("kill_worker", 2.0, held=0, recovery_s=0.0),
        Fault("kill_worker", 3.0, "worker1", held=1),
    )
    report = judged(ledger, faults)
    assert report.recovery_p95_s == {"kill_worker": 4.0}
    assert report.unrecovered == ["kill_worker worker1 at 3 s"]
    assert "kill_worker worker1 at 3 s" in as_markdown(report)


def test_a_percentile_is_a_value_that_was_measured():
    assert percentile([3.0, 1.0, 2.0], 95) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 95) == 95.0
    assert percentile([7.0], 95) == 7.0


def test_mini_that_says_something_else_under_kills_spoils_the_run(ledger):
    same = np.arange(1000, dtype=np.int16)
    fine = MiniReport(spoken=1, held_at_kills=1)
    fine.wrong += compared(fine, "one", "default", same, same + np.int16(1))
    assert dataclasses.replace(judged(ledger), mini=fine).is_good

    for other in (same[:-1], same + np.int16(300), np.roll(same, 5)):
        bad = MiniReport(spoken=1, held_at_kills=1)
        bad.wrong += compared(bad, "one", "default", same, other)
        report = dataclasses.replace(judged(ledger), mini=bad)
        assert not report.is_good
        assert bad.wrong[0] in as_markdown(report)
    assert not dataclasses.replace(judged(ledger), mini=MiniReport(spoken=1)).is_good, "no kill hit anything"


def test_what_warms_up_is_told_from_a_leak_by_the_halves_of_its_slope():
    """One process grows for five minutes of ten and no more, another all the time."""
    watch = MemoryWatch(dict)
    for n in range(121):
        at_s = 5.0 * n
        watch._seen.setdefault(("warm", 1), []).append((at_s, int(min(at_s, 310.0) * 1000)))
        watch._seen.setdefault(("leaks", 2), []).append((at_s, int(at_s * 1000)))
    leaks, warm = watch.slopes(at_least_s=60)
    assert leaks.halves_bytes_a_minute == pytest.approx((60_000, 60_000))
    assert warm.halves_bytes_a_minute == pytest.approx((60_000, 0), abs=1.0)
    assert warm.bytes_a_minute > 20_000


@pytest.mark.parametrize(("deaths", "is_good"), [(2, True), (3, False)])
def test_a_recording_may_take_down_two_workers_and_no_third(ledger, tmp_path, deaths, is_good):
    for _ in range(deaths):
        note_death(tmp_path / "spoken.log", 60_001)
    note_death(tmp_path / "spoken.log", 60_002)
    report = make_report(ledger, (), seed=1, spoken_log=tmp_path / "spoken.log", slopes=[])
    assert report.is_good is is_good
