"""Load is what it says, and sound that is not what was planned is found out."""

import threading

import numpy as np
import pytest

from megatts3.audio.waveform import Waveform
from megatts3.benchmark.contender import OneAtATime, Ours, reference
from megatts3.benchmark.load import ask, closed_loop, offered_load
from megatts3.benchmark.request import requests
from megatts3.benchmark.subject import BenchVoice, Subject
from megatts3.engine.config import EngineConfig
from megatts3.engine.counters import Counters
from megatts3.errors import NonFinite
from megatts3.sampling.params import SamplingParams

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def subject(tiny, frontend, voice, recording):
    return Subject("tiny", tiny, frontend, (BenchVoice("a", recording(), voice), BenchVoice("b", recording(), voice)))


def asked_of(subject, *texts, steps=1):
    return requests(subject, texts, subject.voices, SamplingParams(steps=steps))


def as_planned(request):
    samples = np.random.default_rng(0).standard_normal(round(24_000 * request.expected_s))
    return [Waveform(0.1 * samples, 24_000)]


class Meeting:
    """A contender that answers nobody before so many have come."""

    name = "meeting"
    counters = Counters()

    def __init__(self, guests, patience_s=PATIENCE_S):
        self._all_here = threading.Barrier(guests, timeout=patience_s)

    def speak(self, request):
        self._all_here.wait()
        yield from as_planned(request)

    def close(self):
        pass


def test_a_closed_loop_keeps_all_its_clients_busy(subject):
    window = closed_loop(Meeting(3), asked_of(subject, "a", "b", "c", "d", "e", "f"), 3)
    assert [timing.number for timing in window.timings] == [0, 1, 2, 3, 4, 5]
    assert not any(timing.wrong for timing in window.timings)


def test_a_closed_loop_has_no_more_clients_than_it_should(subject):
    window = closed_loop(Meeting(4, patience_s=0.3), asked_of(subject, "a", "b", "c", "d"), 3)
    assert all(timing.wrong.startswith("BrokenBarrierError") for timing in window.timings)


def test_offered_load_does_not_wait_for_answers(subject):
    window = offered_load(Meeting(4), asked_of(subject, "a", "b", "c", "d"), per_second=200.0, seed=0)
    assert not any(timing.wrong for timing in window.timings)
    came = [timing.submitted_s for timing in window.timings]
    assert came == sorted(came)
    assert len(set(came)) == 4


def test_one_at_a_time_is_one_at_a_time_and_in_the_order_of_coming(subject):
    running, order = [], []

    def speak(request):
        running.append(request)
        assert len(running) == 1
        yield from as_planned(request)
        order.append(request.number)
        running.remove(request)

    contender = OneAtATime("slow", speak)
    window = closed_loop(contender, asked_of(subject, *"abcdef"), 6)
    contender.close()
    assert not any(timing.wrong for timing in window.timings)
    assert sorted(order) == [0, 1, 2, 3, 4, 5]


def test_segments_are_had_as_they_are_spoken(subject):
    first_taken = threading.Event()

    def speak(request):
        yield as_planned(request)[0]
        assert first_taken.wait(PATIENCE_S)
        yield as_planned(request)[0]

    contender = OneAtATime("slow", speak)
    parts = contender.speak(asked_of(subject, "a")[0])
    next(parts)
    first_taken.set()
    assert len(list(parts)) == 1
    contender.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda samples: samples[: len(samples) * 9 // 10], "s of sound where the plan has"),
        (lambda samples: np.concatenate((samples, samples)), "s of sound where the plan has"),
        (np.zeros_like, "silence"),
        (lambda samples: samples * np.nan, "not finite"),
    ],
    ids=["cut short", "said twice", "silent", "not finite"],
)
def test_wrong_sound_cannot_look_fast(subject, spoil, said):
    contender = OneAtATime("careless", lambda request: [Waveform(spoil(as_planned(request)[0].samples), 24_000)])
    timing = ask(contender, asked_of(subject, "a sentence of some length")[0])
    contender.close()
    assert said in timing.wrong


def test_an_error_reaches_its_client_and_the_next_is_served(subject):
    def speak(request):
        if request.number == 0:
            raise NonFinite("x", "latent")
        return as_planned(request)

    contender = OneAtATime("faulty", speak)
    found = [ask(contender, request).wrong for request in asked_of(subject, "a", "b")]
    contender.close()
    assert found[0].startswith("NonFinite")
    assert found[1] is None


def test_the_engine_and_the_reference_count_the_same_rows(subject):
    asked = asked_of(subject, "some words.\nmore words.", "third line.", steps=3)
    ours, theirs = Ours.of(subject, EngineConfig(max_rows=1)), reference(subject)
    windows = [closed_loop(contender, asked, 2) for contender in (ours, theirs)]
    ours.close()
    theirs.close()
    for window in windows:
        assert not [timing.wrong for timing in window.timings if timing.wrong]
    counted = [
        (w.after.row_steps - w.before.row_steps, w.after.useful_frames - w.before.useful_frames) for w in windows
    ]
    assert counted[0] == counted[1]
    assert counted[0][0] == 9
