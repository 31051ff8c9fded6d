"""Several lanes: steps side by side, each row one lane's at a time, and the same sound as with one."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.forwards import PackedForward
from megatts3.engine.lanes import MOST_LANES, choose_lanes
from megatts3.engine.preparation import Preparation
from megatts3.engine.request import Priority, SynthesisRequest
from megatts3.engine.scheduler import Row, Scheduler, Ticket
from megatts3.engine.voice_making import VoiceOrder
from megatts3.errors import Cancelled, ConfigError, DeviceLost, EngineStopped, NonFinite, RowFailed
from megatts3.pipeline.synthesize import speak_segments
from megatts3.pipeline.voice import check_reference, prepare_voice
from megatts3.sampling.params import SamplingParams

WAIT_S = 30.0
LINES = "first line.\nsecond line.\nthird line.\nfourth line."


class AcceleratorError(RuntimeError):
    """Named as torch names what CUDA reports."""


@pytest.fixture
def start(tiny, frontend):
    """`start(lanes)`: a running engine."""
    started = []

    def make(lanes, **config):
        engine = Engine(tiny, frontend, EngineConfig(max_rows=1, lanes=lanes, threads=1, **config))
        engine.start()
        started.append(engine)
        engine._mailbox.call(lambda: None)  # its forward has been chosen and checked
        return engine

    yield make
    for engine in started:
        engine.stop(timeout_s=WAIT_S)
        assert not engine.is_alive


@pytest.fixture
def forward(monkeypatch):
    """`forward(before)`: has `before` called with each row before its forward."""
    honest = PackedForward.velocities

    def patch(before):
        def velocities(self, rows, steps):
            for row in rows:
                before(row)
            return honest(self, rows, steps)

        monkeypatch.setattr(PackedForward, "velocities", velocities)

    return patch


@pytest.fixture
def hold(forward):
    """`hold()`: forwards of rows, or of those with a text, wait; returns whether one does, and what lets them go on."""

    def make(text=None):
        entered, go_on = threading.Event(), threading.Event()

        def before(row):
            if text in (None, row.segment.text):
                entered.set()
                go_on.wait(WAIT_S)

        forward(before)
        return entered, go_on

    return make


def request(request_id, voice, text="hello there.", *, steps=3, seed=42, **options):
    return SynthesisRequest(request_id, text, voice, SamplingParams(steps=steps, seed=seed), **options)


def heard(submission):
    return [result.waveform.pcm16() for result in submission]


# ---- what the scheduler promises to lanes


@settings(deadline=None)
@given(
    lanes=st.integers(1, 4),
    max_rows=st.integers(1, 3),
    steps=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    is_batch=st.lists(st.booleans(), min_size=12, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_a_row_is_one_lanes_at_a_time_and_every_row_gets_all_its_steps(lanes, max_rows, steps, is_batch, order):
    scheduler = Scheduler(max_rows=max_rows, lanes=lanes)
    for i, count in enumerate(steps):
        scheduler.add(Ticket(f"r{i}", 0, count, urgent_at_s=float(i), is_batch=is_batch[i]))
    at_work, ran, finished = {}, [], []
    for _ in range(2_000):
        for ticket in scheduler.next_to_prepare():
            scheduler.ready(Row(ticket, 10, payload=None))
        lane = order.randrange(lanes)
        if lane in at_work:
            finished += [row.ticket.request_id for row in scheduler.advance(at_work.pop(lane))]
        else:
            at_work[lane] = scheduler.next_batch(lane)
            ran += [row.ticket.request_id for row in at_work[lane].rows]
        held = [row for batch in at_work.values() for row in batch.rows]
        assert len(held) == len(set(held))
        assert scheduler.can_be_taken == scheduler.prepared - len(held)
        if scheduler.is_idle:
            break
    assert sorted(finished) == sorted(f"r{i}" for i in range(len(steps)))
    assert all(ran.count(f"r{i}") == count for i, count in enumerate(steps))


def test_a_row_that_was_dropped_while_a_lane_had_it_does_not_come_back():
    scheduler = Scheduler(max_rows=1, lanes=2)
    scheduler.add(Ticket("gone", 0, 1, urgent_at_s=0.0))
    (ticket,) = scheduler.next_to_prepare()
    scheduler.ready(Row(ticket, 10, payload=None))
    batch = scheduler.next_batch(1)
    scheduler.drop("gone")
    assert scheduler.advance(batch) == ()
    assert scheduler.is_idle


def test_a_lane_that_asks_again_has_let_go_of_what_it_had():
    """As after a step that raised."""
    scheduler = Scheduler(max_rows=1, lanes=2)
    scheduler.add(Ticket("row", 0, 2, urgent_at_s=0.0))
    (ticket,) = scheduler.next_to_prepare()
    scheduler.ready(Row(ticket, 10, payload=None))
    scheduler.next_batch(0)
    assert not scheduler.next_batch(1)
    assert len(scheduler.next_batch(0)) == 1


# ---- how many


@pytest.mark.parametrize(
    ("config", "threads", "expected"),
    [
        (EngineConfig(), 4, 1),  # told how many rows a step has: one lane
        (EngineConfig(calibrate_s=1.0), 4, 4),
        (EngineConfig(calibrate_s=1.0), 64, MOST_LANES),
        (EngineConfig(calibrate_s=1.0, lanes=2), 4, 2),
    ],
)
def test_a_processor_that_is_left_to_choose_has_a_lane_a_thread(tiny, monkeypatch, config, threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert choose_lanes(tiny, config) == expected


def test_lanes_are_at_least_one():
    with pytest.raises(ConfigError, match="lanes"):
        EngineConfig(lanes=0)


# ---- engines that run


@pytest.mark.parametrize("lanes", [2, 3])
def test_every_sample_is_what_it_is_with_one_lane_whatever_shares_the_machine(
    start, tiny, frontend, voice, recording, lanes
):
    other = prepare_voice(tiny, recording(2.0, level=0.02, seed=5))
    texts = [LINES, "one two three.", "a.\nb.", "seven eight nine, ten.\nover."]
    asked = [
        request(f"r{i}", (voice, other)[i % 2], texts[i % 4], steps=2 + i % 3, seed=i, client=f"c{i % 3}",
                priority=(Priority.INTERACTIVE, Priority.BATCH)[i % 5 == 0])
        for i in range(16)
    ]  # fmt: skip
    alone = start(1)
    wanted = [heard(alone.submit(each)) for each in asked]

    engine = start(lanes)
    with ThreadPoolExecutor(len(asked)) as clients:
        found = list(clients.map(lambda each: heard(engine.submit(each)), asked))

    for these, those in zip(found, wanted, strict=True):
        assert len(these) == len(those)
        assert all(np.array_equal(a, b) for a, b in zip(these, those, strict=True))
    assert engine.counters.rows_per_step == 1.0
    assert engine.counters.segments == sum(map(len, wanted))
    assert (engine.queued, engine.active_rows) == (0, 0)


def test_two_rows_run_at_the_same_time(start, forward, voice):
    together, most, inside, lock = threading.Barrier(2), [], set(), threading.Lock()
    engine = start(2)

    def before(row):
        with lock:
            inside.add(threading.get_ident())
            most.append(len(inside))
        together.wait(WAIT_S)  # breaks, and fails the row, where no other lane comes
        with lock:
            inside.discard(threading.get_ident())

    forward(before)
    submissions = [engine.submit(request(f"r{i}", voice, steps=4)) for i in range(2)]
    assert [len(heard(submission)) for submission in submissions] == [1, 1]
    assert max(most) == 2
    assert engine.rows_at_once == 2


def test_what_one_lane_has_prepared_for_many_wakes_a_lane_that_rests(tiny, frontend, forward, voice, monkeypatch):
    """All that came is prepared by one lane, while the other finds nothing to do."""
    monkeypatch.setattr("megatts3.engine.engine._LOOK_AGAIN_S", 2 * WAIT_S)  # it does not wake by itself
    honest, rested = Preparation.advance, threading.Event()

    def advance(self):
        rested.wait(WAIT_S)
        return honest(self)

    monkeypatch.setattr(Preparation, "advance", advance)
    engine = Engine(tiny, frontend, EngineConfig(max_rows=1, lanes=2, threads=1))
    submissions = [engine.submit(request(f"r{i}", voice, steps=4)) for i in range(4)]
    engine.start()
    until(lambda: engine._loop is not None and engine._loop._resting)
    rested.set()
    together, met = threading.Barrier(2), threading.Event()

    def before(row):
        if not met.is_set():
            together.wait(WAIT_S / 3)  # breaks, and fails the row, where no other lane comes
            met.set()

    forward(before)
    assert [len(heard(submission)) for submission in submissions] == [1, 1, 1, 1]
    engine.stop(timeout_s=WAIT_S)


def until(holds):
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_row_that_fails_on_a_lane_fails_alone(start, forward, tiny, frontend, voice):
    engine = start(2)

    def before(row):
        if row.segment.text == "sick.":
            raise RuntimeError("a bad row")

    forward(before)
    sick = engine.submit(request("sick", voice, "sick."))
    well = engine.submit(request("well", voice, LINES))
    with pytest.raises(RowFailed):
        heard(sick)
    (expected, *_) = speak_segments(tiny, frontend, LINES, voice, SamplingParams(steps=3, seed=42))
    found = heard(well)
    assert len(found) == 4
    assert np.abs(found[0].astype(int) - expected.pcm16()).max() <= 2


def test_a_row_that_is_not_finite_fails_alone(start, voice, monkeypatch):
    honest = PackedForward.velocities

    def velocities(self, rows, steps):
        found = honest(self, rows, steps)
        return [x * float("nan") if row.segment.text == "sick." else x for row, x in zip(rows, found, strict=True)]

    monkeypatch.setattr(PackedForward, "velocities", velocities)
    engine = start(2)
    sick, well = engine.submit(request("sick", voice, "sick.")), engine.submit(request("well", voice, LINES))
    with pytest.raises(NonFinite):
        heard(sick)
    assert len(heard(well)) == 4


def test_a_lost_device_ends_every_lane(start, forward, voice):
    engine = start(3)

    def before(row):
        if row.segment.text == "fatal.":
            raise AcceleratorError("CUDA error: an illegal memory access was encountered")

    forward(before)
    submissions = [engine.submit(request(f"r{i}", voice, text)) for i, text in enumerate([LINES, "fatal.", LINES])]
    with pytest.raises(DeviceLost):
        heard(submissions[1])
    for submission in (submissions[0], submissions[2]):
        with contextlib.suppress(DeviceLost):
            heard(submission)
    engine.stop(timeout_s=WAIT_S)
    assert engine.death == "AcceleratorError"
    assert not engine.is_alive
    with pytest.raises(EngineStopped):
        engine.submit(request("late", voice))


def test_draining_finishes_what_was_submitted_and_ends_lanes_that_rest(start, voice):
    engine = start(3)
    submissions = [engine.submit(request(f"r{i}", voice, LINES)) for i in range(3)]
    engine.stop(drain=True, timeout_s=WAIT_S)
    assert not engine.is_alive
    assert [len(heard(submission)) for submission in submissions] == [4, 4, 4]
    assert not [thread for thread in threading.enumerate() if thread.name in ("engine-1", "engine-2")]


def test_stopping_ends_requests_that_lanes_are_at(start, hold, voice):
    engine = start(2)
    entered, go_on = hold()
    submissions = [engine.submit(request(f"r{i}", voice, LINES)) for i in range(2)]
    assert entered.wait(WAIT_S)
    engine.stop(timeout_s=0.0)
    go_on.set()
    engine.stop(timeout_s=WAIT_S)
    for submission in submissions:
        with pytest.raises(EngineStopped):
            heard(submission)


def test_a_request_given_up_while_a_lane_has_its_row_is_over(start, hold, voice):
    engine = start(2)
    entered, go_on = hold()
    submission = engine.submit(request("given up", voice, LINES))
    assert entered.wait(WAIT_S)
    submission.cancel()
    go_on.set()
    with pytest.raises(Cancelled):
        heard(submission)
    assert len(heard(engine.submit(request("given up", voice, LINES)))) == 4


def test_a_lane_that_hangs_is_seen_though_others_go_on(start, hold, voice):
    engine = start(2)
    entered, go_on = hold("stuck.")
    stuck = engine.submit(request("stuck", voice, "stuck."))
    assert entered.wait(WAIT_S)
    assert len(heard(engine.submit(request("other", voice)))) == 1
    time.sleep(0.05)
    assert engine.stalled_s >= 0.05
    go_on.set()
    assert len(heard(stuck)) == 1


def test_voices_are_made_while_rows_run_and_none_is_forgotten(start, tiny, voice, recording):
    engine = start(2)
    talking = engine.submit(request("talk", voice, "\n".join([LINES] * 4), steps=6))
    orders = [VoiceOrder(check_reference(tiny, recording(1.5, seed=i))) for i in range(20)]
    for order in orders:
        engine._mailbox.put(order)
    made = [order.answer.result(timeout=WAIT_S) for order in orders]
    for i in (0, 19):
        wanted = prepare_voice(tiny, recording(1.5, seed=i))
        assert (made[i].phones, made[i].durations) == (wanted.phones, wanted.durations)
    assert len(heard(talking)) == 16


def test_seconds_of_lanes_together_are_at_most_the_clocks(start, voice):
    engine = start(3)
    began = time.perf_counter()
    submissions = [engine.submit(request(f"r{i}", voice, LINES)) for i in range(4)]
    for submission in submissions:
        heard(submission)
    passed_s = time.perf_counter() - began
    counted = engine.counters
    assert 0 < counted.step_s + counted.prepare_s + counted.decode_s <= passed_s
