"""The engine's promises to its callers: order, progress, cancelling, deadlines, failures that stay alone, an end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from megatts3.audio.formats import encode
from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.request import Priority, Progress, SynthesisRequest
from megatts3.errors import (
    AudioUnreadable,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    EngineFull,
    EngineStopped,
    NonFinite,
    RowFailed,
    TextEmpty,
    UnknownPhone,
)
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.pipeline.plan import plan
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams

WAIT_S = 30.0
LINES = "first line.\nsecond line.\nthird line.\nfourth line."


class StillClock:
    """Time that a test moves."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def stepped(tiny, frontend):
    """An engine without a thread: the test calls step()."""
    return Engine(tiny, frontend, EngineConfig(max_rows=2), clock=StillClock())


@pytest.fixture
def running(tiny, frontend):
    engine = Engine(tiny, frontend, EngineConfig(max_rows=3, threads=1))
    engine.start()
    yield engine
    engine.stop(timeout_s=WAIT_S)
    assert not engine.is_alive


def request(request_id, voice, text="hello there.", steps=3, **options):
    return SynthesisRequest(request_id, text, voice, SamplingParams(steps=steps), **options)


def step_until_over(engine, *submissions):
    for _ in range(2_000):
        if all(submission.is_over for submission in submissions):
            return
        engine.step()
    raise AssertionError("not finished")


# ---- results


def test_segments_come_in_the_order_of_the_text(running, voice):
    results = list(running.submit(request("a", voice, LINES)))

    assert [result.index for result in results] == [0, 1, 2, 3]
    assert {result.count for result in results} == {4}
    assert [result.text for result in results] == LINES.splitlines()
    assert all(np.isfinite(result.waveform.samples).all() for result in results)


def test_a_segment_lasts_as_long_as_its_plan_said(running, voice):
    for result in running.submit(request("a", voice, LINES)):
        assert result.waveform.duration_s == pytest.approx(result.planned_s, abs=1e-3)


def test_many_callers_at_once_all_get_their_own(running, voice):
    def speak(n):
        return [result.text for result in running.submit(request(f"r{n}", voice, f"{'abc'[n % 3]} line.\nend."))]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(speak, range(24)))

    assert found == [[f"{'abc'[n % 3]} line.", "end."] for n in range(24)]


def test_progress_counts_up_to_the_whole(stepped, voice):
    submission = stepped.submit(request("a", voice, LINES, steps=3))
    assert submission.progress == Progress(0, 4, 0, 12)
    stepped.step()
    assert submission.progress.steps_done == 1
    step_until_over(stepped, submission)
    assert submission.progress == Progress(4, 4, 12, 12)


def test_counters_tell_rows_steps_and_padding(stepped, voice):
    submissions = [stepped.submit(request(name, voice, text, steps=3)) for name, text in [("a", "a."), ("b", LINES)]]
    step_until_over(stepped, *submissions)
    counted = stepped.counters

    assert (counted.segments, counted.row_steps) == (5, 15)
    assert counted.steps < counted.row_steps
    assert counted.useful_frames == counted.computed_frames  # laid end to end
    assert counted.audio_s == pytest.approx(sum(r.waveform.duration_s for s in submissions for r in s))
    assert counted.prepared == 5
    assert counted.rows_per_step == counted.row_steps / counted.steps
    assert min(counted.step_s, counted.prepare_s, counted.decode_s, counted.scheduler_s) > 0
    assert counted.minus(counted).audio_s == 0
    assert (stepped.queued, stepped.active_rows) == (0, 0)


def test_a_failure_is_counted_and_a_wish_to_stop_is_not(stepped, voice):
    late, given_up = stepped.submit(request("late", voice, deadline_s=1.0)), stepped.submit(request("up", voice))
    given_up.cancel()
    step_until_over(stepped, late, given_up)

    assert stepped.counters.failed == 1


def test_a_request_that_came_later_overtakes_a_book(tiny, frontend, voice):
    stepped = Engine(tiny, frontend, EngineConfig(max_rows=2), clock=StillClock(), timer=lambda: 0.0)
    book = stepped.submit(request("book", voice, "line after line.\n" * 40, steps=4))
    for _ in range(6):
        stepped.step()
    sentence = stepped.submit(request("sentence", voice, steps=4))
    step_until_over(stepped, sentence)

    assert book.progress.segments_done < 6


def test_preparing_a_book_takes_only_slices_of_the_time_of_what_runs(tiny, frontend, voice):
    """A slice is a part of a step: with a clock that ticks at every look, about one token a turn."""
    ticks = iter(range(10**6))
    engine = Engine(tiny, frontend, EngineConfig(max_rows=1), clock=StillClock(), timer=lambda: float(next(ticks)))
    line = engine.submit(request("line", voice, steps=30))
    engine.step()
    engine.submit(request("book", voice, "a longer line of a book.\n" * 8, priority=Priority.BATCH))
    before = engine.counters
    for _ in range(5):
        engine.step()

    assert line.progress.steps_done == 6
    assert engine.counters.minus(before).prepared == 0


def test_what_is_heard_later_is_prepared_when_its_turn_is_near(tiny, frontend, voice):
    """Sooner it would only hold up the segment that somebody waits to hear."""
    engine = Engine(tiny, frontend, EngineConfig(max_rows=1), timer=lambda: 0.0)  # in no time: no slice ends
    book = engine.submit(request("book", voice, LINES, steps=20))
    for _ in range(10):
        engine.step()
    assert engine.counters.prepared == 1

    for _ in range(9):
        engine.step()
    assert engine.counters.prepared > 1
    assert book.progress.segments_done == 0


def test_what_outranks_all_that_runs_is_prepared_at_once(tiny, frontend, voice):
    ticks = iter(range(10**6))
    engine = Engine(tiny, frontend, EngineConfig(max_rows=1), clock=StillClock(), timer=lambda: float(next(ticks)))
    engine.submit(request("book", voice, "a longer line of a book.\n" * 8, priority=Priority.BATCH, steps=30))
    for _ in range(3):
        engine.step()
    line = engine.submit(request("line", voice, steps=30))
    engine.step()

    assert line.progress.steps_done == 1


def test_a_batch_request_lets_an_interactive_one_go_first(tiny, frontend, voice):
    engine = Engine(tiny, frontend, EngineConfig(max_rows=1), clock=StillClock())
    patient = engine.submit(request("patient", voice, "a b c.\nd e f.", priority=Priority.BATCH))
    engine.step()
    urgent = engine.submit(request("urgent", voice))
    step_until_over(engine, urgent)

    assert patient.progress.segments_done <= 1


# ---- ends that are no results


def test_cancelling_ends_a_request_between_two_steps(stepped, voice):
    submission = stepped.submit(request("a", voice, steps=100))
    stepped.step()
    submission.cancel()
    stepped.step()

    with pytest.raises(Cancelled) as caught:
        next(submission)
    assert caught.value.request_id == "a"
    assert submission.progress.steps_done <= 2


def test_a_cancelled_request_still_gives_the_segments_it_has(stepped, voice):
    submission = stepped.submit(request("a", voice, LINES, steps=2))
    while submission.progress.segments_done < 1:
        stepped.step()
    submission.cancel()
    stepped.step()

    assert next(submission).index == 0
    with pytest.raises(Cancelled):
        list(submission)


def test_leaving_the_block_of_a_submission_cancels_it(stepped, voice):
    with stepped.submit(request("a", voice, steps=100)) as submission:
        stepped.step()
    stepped.step()

    assert isinstance(submission.error, Cancelled)


def test_cancelling_before_the_loop_has_seen_the_request_is_heard(stepped, voice):
    submission = stepped.submit(request("a", voice))
    submission.cancel()
    step_until_over(stepped, submission)

    assert isinstance(submission.error, Cancelled)


def test_cancelling_one_request_leaves_its_neighbours(stepped, voice):
    doomed, other = (stepped.submit(request(name, voice, steps=6)) for name in ("a", "b"))
    for _ in range(3):
        stepped.step()
    doomed.cancel()
    step_until_over(stepped, other)

    assert len(list(other)) == 1


def test_a_request_past_its_deadline_ends(stepped, voice):
    submission = stepped.submit(request("a", voice, steps=100, deadline_s=105.0))
    stepped.step()
    stepped.clock.now_s = 106.5
    stepped.step()

    assert isinstance(submission.error, DeadlineExceeded)
    assert submission.error.late_s == pytest.approx(1.5)


def test_a_deadline_that_passed_while_queueing_costs_no_step(stepped, voice):
    submission = stepped.submit(request("a", voice, deadline_s=99.0))
    stepped.step()

    assert isinstance(submission.error, DeadlineExceeded)
    assert submission.progress.steps_done == 0


def test_a_row_that_turns_to_nan_fails_alone(stepped, voice):
    poisoned = replace(voice, latent=np.full_like(voice.latent, np.nan))
    sick, well = stepped.submit(request("sick", poisoned)), stepped.submit(request("well", voice))
    step_until_over(stepped, sick, well)

    assert isinstance(sick.error, NonFinite)
    assert well.error is None
    assert len(list(well)) == 1


def test_a_voice_with_unknown_phones_fails_alone(stepped, voice):
    foreign = replace(voice, phones=(999, *voice.phones[1:]))
    bad, good = stepped.submit(request("bad", foreign)), stepped.submit(request("good", voice))
    step_until_over(stepped, bad, good)

    assert isinstance(bad.error, UnknownPhone)
    assert len(list(good)) == 1


class ChokingDiT(DiffusionTransformer):
    """Raises for a batch that holds a row of a very loud latent."""

    def velocity(self, x, t, conditioning, prompt_mask, key_mask=None):
        if float(conditioning.abs().max()) > 1e3:
            raise FloatingPointError("too much")
        return super().velocity(x, t, conditioning, prompt_mask, key_mask)


def test_an_exception_in_the_network_fails_its_row_and_not_the_batch(tiny, frontend, voice):
    dit = ChokingDiT(tiny.dit.config)
    dit.load_state_dict(tiny.dit.state_dict())
    engine = Engine(replace(tiny, dit=dit.eval()), frontend, EngineConfig(forward="padded"))
    loud = replace(voice, latent=voice.latent * 0 + 1e6)
    bad, good = engine.submit(request("bad", loud)), engine.submit(request("good", voice))
    step_until_over(engine, bad, good)

    assert isinstance(bad.error, RowFailed)
    assert bad.error.reason == "FloatingPointError"
    assert len(list(good)) == 1
    assert engine.counters.splits > 0


# ---- what is refused at the door


def test_a_text_with_nothing_to_say_is_refused(running, voice):
    with pytest.raises(TextEmpty):
        running.submit(request("a", voice, ""))


def test_an_id_that_is_in_use_is_refused_and_free_again_afterwards(stepped, voice):
    first = stepped.submit(request("a", voice))
    with pytest.raises(ValueError, match="in use"):
        stepped.submit(request("a", voice))
    step_until_over(stepped, first)
    stepped.submit(request("a", voice))


def test_a_full_engine_says_so(tiny, frontend, voice):
    engine = Engine(tiny, frontend, EngineConfig(max_segments=4))
    first = engine.submit(request("a", voice, LINES))
    with pytest.raises(EngineFull) as caught:
        engine.submit(request("b", voice))
    assert (caught.value.waiting, caught.value.limit) == (4, 4)
    step_until_over(engine, first)
    engine.submit(request("b", voice))


@pytest.mark.parametrize("options", [{"max_rows": 0}, {"threads": -1}, {"precision": "fp8"}])
def test_a_senseless_configuration_is_refused(options):
    with pytest.raises(ConfigError):
        EngineConfig(**options)


# ---- voices and plans


def test_voices_and_plans_are_made_as_the_pipeline_makes_them(running, tiny, frontend, recording):
    data = encode(recording(), "wav")
    voice = running.prepare_voice(data)
    params = SamplingParams()

    assert running.prepare_voice(data).fingerprint == voice.fingerprint
    assert running.plan(LINES, voice, params) == plan(tiny, frontend, LINES, voice, params)


def test_what_is_wrong_with_a_voice_reaches_its_caller_and_nobody_else(running, voice):
    spoken = running.submit(request("a", voice, LINES))
    with pytest.raises(AudioUnreadable):
        running.prepare_voice(b"not audio")

    assert len(list(spoken)) == 4


def test_voices_are_prepared_while_others_speak(running, voice, recording):
    spoken = running.submit(request("a", voice, "line.\n" * 20, steps=10))
    found = running.prepare_voice(encode(recording(2.0), "flac"))

    assert found.latent_frames > 0
    assert len(list(spoken)) == 20


def test_warming_up_speaks_and_leaves_nothing_behind(running, voice):
    running.warm_up()
    running.warm_up()

    assert len(list(running.submit(request("a", voice)))) == 1


def test_an_engine_loads_and_speaks_from_a_checkpoint_directory(tmp_path, recording):
    """The real front end, the real files."""
    from scripts.make_tiny_checkpoint import make_tiny_checkpoint

    engine = Engine.load(make_tiny_checkpoint(tmp_path), EngineConfig(threads=1))
    engine.start()
    try:
        voice = prepare_voice(engine._networks, recording())
        results = list(engine.submit(request("a", voice, "你好，世界。Hello, world.")))
    finally:
        engine.stop()
    assert engine.device == "cpu"
    assert engine.capabilities.encoder
    assert engine.revision
    assert results[0].waveform.duration_s > 0.5


# ---- the end


def test_stopping_fails_what_is_unfinished(tiny, frontend, voice):
    engine = Engine(tiny, frontend)
    engine.start()
    submission = engine.submit(request("a", voice, "line.\n" * 200, steps=100))
    engine.stop(timeout_s=WAIT_S)

    with pytest.raises(EngineStopped):
        list(submission)
    assert not engine.is_alive


def test_draining_finishes_what_was_submitted_and_takes_no_more(tiny, frontend, voice):
    engine = Engine(tiny, frontend)
    engine.start()
    submissions = [engine.submit(request(f"r{n}", voice, LINES)) for n in range(3)]
    engine.stop(drain=True, timeout_s=WAIT_S)

    assert [len(list(submission)) for submission in submissions] == [4, 4, 4]
    with pytest.raises(EngineStopped):
        engine.submit(request("late", voice))
    with pytest.raises(EngineStopped):
        engine.prepare_voice(b"")


def test_a_waiting_caller_is_woken_when_the_engine_stops(tiny, frontend, voice):
    engine = Engine(tiny, frontend)
    engine.start()
    submission = engine.submit(request("a", voice, "line.\n" * 200, steps=100))
    heard = []

    def listen():
        try:
            heard.extend(submission)
        except EngineStopped as error:
            heard.append(error)

    listener = threading.Thread(target=listen)
    listener.start()
    engine.stop(timeout_s=WAIT_S)
    listener.join(WAIT_S)

    assert not listener.is_alive()
    assert isinstance(heard[-1], EngineStopped)


def test_stopping_twice_and_stopping_what_never_ran_do_no_harm(tiny, frontend, voice):
    engine = Engine(tiny, frontend)
    submission = engine.submit(request("a", voice))
    engine.stop()
    engine.stop()

    assert submission.wait(WAIT_S)
    assert isinstance(submission.error, EngineStopped)
    with pytest.raises(EngineStopped):
        engine.submit(request("b", voice))
