"""What the suites add to a load: the machine is watched around it."""

from itertools import chain, repeat

import pytest

from megatts3.benchmark import suites
from megatts3.benchmark.contender import REFERENCE
from megatts3.benchmark.subject import BenchVoice, Subject
from megatts3.engine.config import EngineConfig


@pytest.fixture
def bench(tiny, frontend, voice, recording, tmp_path, monkeypatch):
    """A machine that does 100 at the start, 80 and 40 around the first load, and 100 again from then on."""
    done = chain([100.0, 80.0, 40.0], repeat(100.0))
    monkeypatch.setattr(suites, "matrix_ceiling", lambda device, dtype: next(done))
    setup = suites.Setup(tmp_path, EngineConfig(), steps=1, contenders=(REFERENCE,))
    subject = Subject("tiny", tiny, frontend, (BenchVoice("a", recording(), voice),))
    bench = suites.Bench(subject, setup, lambda line: None)
    yield bench
    bench.close()


def test_a_machine_that_has_become_slower_is_told_with_the_load_that_it_befell(bench):
    asked = bench.ask(["One.", "Two."])
    (slow,) = bench.closed(asked, 2, (REFERENCE,), 1)
    (fast,) = bench.closed(asked, 2, (REFERENCE,), 1)
    assert slow.machine_share == pytest.approx(0.6)
    assert fast.machine_share == pytest.approx(1.0)


def test_rounds_are_watched_together_and_offered_load_as_well(bench):
    asked = bench.ask(["One.", "Two."])
    (both,) = bench.closed(asked, 2, (REFERENCE,), 2)
    assert both.machine_share == pytest.approx((80 + 40 + 100 + 100) / 400)
    assert bench.offered(asked, REFERENCE, per_second=50.0).machine_share == pytest.approx(1.0)
