"""How fast a worker says it is: what its engine counted, not what its jobs took."""

import pytest

from contract.schemas import Priority
from megatts3.api import Counters
from worker.throughput import Throughput


def counted(*, audio_s: float, busy_s: float) -> Counters:
    """Of the loop's time a part goes into each phase."""
    return Counters(
        audio_s=audio_s, step_s=0.7 * busy_s, prepare_s=0.1 * busy_s, decode_s=0.1 * busy_s, scheduler_s=0.1 * busy_s
    )


def test_what_was_before_the_first_look_is_not_counted():
    throughput = Throughput()
    throughput.engine(counted(audio_s=0.1, busy_s=9.0))  # the warm-up

    assert throughput.audio_s_per_s is None

    throughput.engine(counted(audio_s=8.1, busy_s=13.0))
    assert throughput.audio_s_per_s == pytest.approx(2.0)


def test_idle_time_changes_nothing_and_rows_that_share_a_step_count_together():
    throughput = Throughput()
    throughput.engine(Counters())
    throughput.engine(counted(audio_s=12.0, busy_s=3.0))  # four rows, each as fast as speech
    for _ in range(100):
        throughput.engine(counted(audio_s=12.0, busy_s=3.0))

    assert throughput.audio_s_per_s == pytest.approx(4.0)


def test_what_was_long_ago_fades():
    throughput = Throughput()
    audio_s = busy_s = 0.0
    throughput.engine(Counters())
    for rate, seconds in ((1.0, 100), (3.0, 240)):
        for _ in range(seconds):
            audio_s, busy_s = audio_s + rate, busy_s + 1.0
            throughput.engine(counted(audio_s=audio_s, busy_s=busy_s))

    assert throughput.audio_s_per_s == pytest.approx(3.0, rel=0.03)


def test_a_job_whose_segments_others_rendered_does_not_make_this_worker_fast():
    throughput = Throughput()
    throughput.engine(Counters())
    throughput.engine(counted(audio_s=5.0, busy_s=5.0))

    throughput.note(audio_s=600.0, synthesis_s=60.0)

    assert throughput.audio_s_per_s == pytest.approx(1.0)


def test_the_heartbeat_counts_segments_of_whatever_job(runtime, submit):
    """A job that is held is no row: its segments may be rendered anywhere."""
    runtime.engine.rows_at_once, runtime.engine.active_rows, runtime.engine.queued = 8, 5, 2

    told = runtime.presence.describe()

    assert (told.max_rows, told.active_rows, told.active_jobs) == (8, 7, 0)


def test_the_engines_pace_reaches_the_heartbeat(runtime, submit):
    runtime.presence.is_ready(runtime.engine.capabilities, runtime.engine.revision)
    runtime._watch_engine()
    runtime.synthesize(submit(priority=Priority.BATCH).id)
    runtime.engine.counters = counted(audio_s=30.0, busy_s=10.0)
    runtime._watch_engine()

    assert runtime.presence.describe().audio_s_per_s == pytest.approx(3.0)
