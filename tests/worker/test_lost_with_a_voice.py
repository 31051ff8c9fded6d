"""A recording whose preparation takes workers down: the second one is the last, and nobody else is blamed."""

import os
import threading

import pytest
from fake_engine import FakeEngine
from patience import eventually

from contract.errors import ErrorCode
from contract.queues import TaskName
from contract.schemas import JobStatus, VoiceStatus
from contract.stores.burial import bury
from contract.stores.interfaces import Stores
from megatts3.errors import EngineStopped


@pytest.fixture
def stores(either_stores) -> Stores:
    return either_stores


class Held(FakeEngine):
    """Prepares nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may = threading.Event(), threading.Event()

    def prepare_voice(self, data, *, latent=None):
        self.began.set()
        assert self.may.wait(30)
        return super().prepare_voice(data, latent=latent)


@pytest.fixture
def begun(make_runtime, in_background, voice):
    """`begun(name)`: a worker that is at the voice and stays so."""
    engines = []

    def make(name: str):
        engines.append(Held())
        worker = make_runtime(engines[-1], name=name)
        worker.housekeeping.beat()
        in_background(worker.prepare_voice, voice.id)
        assert engines[-1].began.wait(10)
        return worker

    yield make
    for engine in engines:
        engine.may.set()


def kill(stores, worker) -> None:
    worker.line.freeze()
    bury(stores, worker.name, os.getpid())


def test_a_voice_that_takes_down_two_workers_fails_and_meets_no_third(
    begun, make_runtime, stores, voice, sent, submit, in_background
):
    survivor = make_runtime(name="survivor")
    for n in range(2):
        doomed = begun(f"doomed{n}")
        kill(stores, doomed)
        survivor.sweep_buried()
    assert sent == [(TaskName.PREPARE_VOICE, voice.id)], "after the first loss, at once; not after the second"

    failed = stores.voices.get(voice.id)
    assert (failed.status, failed.error.code, failed.losses) == (VoiceStatus.FAILED, ErrorCode.WORKER_LOST, 2)
    survivor.prepare_voice(voice.id)
    job = submit()
    survivor.synthesize(job.id)
    ended = stores.jobs.get(job.id)
    assert (ended.status, ended.error) == (JobStatus.FAILED, failed.error)
    assert survivor.engine.prepared == []


def test_before_anybody_counted_two_losses_a_third_keeps_away(begun, make_runtime, stores, voice):
    for n in range(2):
        kill(stores, begun(f"doomed{n}"))
    third = make_runtime(name="third")
    third.prepare_voice(voice.id)
    assert third.engine.prepared == []
    third.sweep_buried()
    assert stores.voices.get(voice.id).status is VoiceStatus.FAILED


def test_a_worker_nobody_tells_of_is_lost_when_it_was_not_heard_of(begun, make_runtime, stores, voice, sent, lose):
    survivor = make_runtime(name="survivor")
    doomed = begun("doomed")
    survivor.sweep()
    assert stores.voices.get(voice.id).losses == 0, "it lives"
    assert not sent
    lose(doomed)
    survivor.sweep()
    assert stores.voices.get(voice.id).losses == 0, "its lease is short; its word lasts longer"
    lose(doomed)
    survivor.sweep()
    assert stores.voices.get(voice.id).losses == 1
    assert sent == [(TaskName.PREPARE_VOICE, voice.id)]


def test_a_suspect_is_prepared_alone_and_is_ready_when_it_was_another_who_crashed(
    begun, make_runtime, stores, voice, in_background
):
    survivor = make_runtime(name="survivor")
    kill(stores, begun("doomed"))
    survivor.sweep_buried()
    with survivor._company.beside():
        in_background(survivor.prepare_voice, voice.id)
        eventually(lambda: any(guest.alone for guest in tuple(survivor._company._waiting)))
        assert survivor.engine.prepared == []
    eventually(lambda: stores.voices.get(voice.id).status is VoiceStatus.READY)
    assert stores.voices.get(voice.id).losses == 0
    eventually(lambda: stores.voices.preparing() == ())


def test_a_worker_that_sweeps_does_not_take_itself_for_lost(make_runtime, stores, voice):
    worker = make_runtime(name="thawed")  # nobody has heard of it for long
    assert stores.voices.begin_preparing(voice.id, voice.version, worker=worker.name)
    worker.sweep()
    assert stores.voices.get(voice.id).losses == 0


def test_a_stopped_engine_says_nothing_about_the_voice(make_runtime, stores, voice):
    class Stopped(FakeEngine):
        def prepare_voice(self, data, *, latent=None):
            raise EngineStopped

    worker = make_runtime(Stopped())
    with pytest.raises(EngineStopped):
        worker.prepare_voice(voice.id)
    assert stores.voices.preparing() == ()
    assert stores.voices.get(voice.id).status is VoiceStatus.PREPARING
