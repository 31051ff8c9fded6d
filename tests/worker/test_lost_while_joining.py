"""A text whose sound takes down whoever joins and encodes it: the second one is the last, and no neighbour is blamed."""

import os
import threading
from functools import partial

import pytest
from patience import eventually
from test_fan_out import LINES, SEED

from contract.errors import ErrorCode
from contract.last_words import JoinedLast, LastWords, path_of, taken_last_words
from contract.schemas import JobStatus, Priority
from contract.stores.burial import bury
from contract.stores.interfaces import Stores
from worker.joined_file import JoinedFile

POISON, FINE = (f"{name} book. " + ". ".join(LINES[:5]) for name in ("Poison", "Fine"))
PLACE = 2


@pytest.fixture
def stores(either_stores) -> Stores:
    return either_stores


class Encoder:
    """Stands where it would crash: at one place of one book."""

    def __init__(self) -> None:
        self.stuck, self.may = 0, threading.Event()
        self._pushed: dict[int, int] = {}

    def push(self, original, file: JoinedFile, segment) -> None:
        place = self._pushed[id(file)] = self._pushed.get(id(file), -1) + 1
        if file._request.text.startswith("Poison") and place == PLACE:
            self.stuck += 1
            assert self.may.wait(30)
        original(file, segment)


@pytest.fixture
def encoder(monkeypatch, in_background):  # which waits for whoever is stuck
    made = Encoder()
    original = JoinedFile.push
    monkeypatch.setattr(JoinedFile, "push", lambda file, segment: made.push(original, file, segment))
    yield made
    made.may.set()


@pytest.fixture
def worker(watched, tmp_path):
    return lambda name: watched(name, last_words=LastWords.open(tmp_path / "temp", name))


@pytest.fixture
def kill(stores, tmp_path):
    """As its launcher sees it; what it was joining when it ended."""

    def kill(worker) -> tuple[JoinedLast, ...]:
        worker.line.freeze()
        found = taken_last_words(path_of(tmp_path / "temp", worker.name, os.getpid()))
        bury(stores, worker.name, os.getpid(), joining=found)
        return found

    return kill


def test_a_text_that_takes_down_two_who_join_it_fails_and_meets_no_third(
    worker, kill, encoder, stores, submit, in_background
):
    poison, fine = (submit(text, request=SEED, priority=Priority.BATCH) for text in (POISON, FINE))
    survivor = worker("survivor")
    first = worker("first")
    first.engine.holds = {f" {LINES[4]}"}
    survivor.engine.holds = {f" {LINES[4]}"}
    for job in (poison, fine):
        in_background(first.synthesize, job.id)
    eventually(lambda: encoder.stuck == 1)
    eventually(lambda: stores.jobs.get(fine.id).progress.segments_done >= 4)
    assert kill(first) == (JoinedLast(poison.id, PLACE, alone=False),)
    survivor.sweep_buried()
    assert [stores.jobs.get(job.id).attempts for job in (poison, fine)] == [1, 0]
    survivor.engine.holds.clear()

    second = worker("second")
    with second._company.beside():
        in_background(second.synthesize, poison.id)  # what was lost once begins when nobody else is at work
        eventually(lambda: any(guest.alone for guest in tuple(second._company._waiting)))
    eventually(lambda: encoder.stuck == 2)
    assert second._company._is_alone
    assert kill(second) == (JoinedLast(poison.id, PLACE, alone=True),)
    survivor.sweep_buried()

    failed = stores.jobs.get(poison.id)
    assert (failed.status, failed.error.code) == (JobStatus.FAILED, ErrorCode.WORKER_LOST)
    survivor.synthesize(fine.id)
    assert stores.jobs.get(fine.id).status is JobStatus.DONE
    assert encoder.stuck == 2


def test_a_suspect_is_alone_only_where_a_worker_was_lost_with_it(worker, kill, encoder, stores, submit, in_background):
    """And is heard whole when it was somebody else's fault."""
    job = submit(POISON, request=SEED, priority=Priority.BATCH)
    first, second = worker("first"), worker("second")
    in_background(first.synthesize, job.id)
    eventually(lambda: encoder.stuck == 1)
    kill(first)
    second.sweep_buried()
    encoder.may.set()
    was_alone: list[int] = []
    duties = second.speaker._spreader._duties
    about = duties.last_words.about

    def noted(said: JoinedLast):
        was_alone.extend([said.place] if said.alone else [])
        assert said.alone == second._company._is_alone
        return about(said)

    duties.last_words.about = noted
    second.synthesize(job.id)
    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert was_alone == [PLACE]


def test_items_are_joined_in_the_same_manner(worker, kill, encoder, stores, submit, in_background):
    from contract import blob_keys
    from contract.records import items_to_bytes
    from contract.schemas import Item, Job, SpeechRequest

    requests = [SpeechRequest(text=text, voice_id="anna", seed=7) for text in ("Short", POISON, "Last")]
    stores.blobs.put(blob_keys.job_items("batch"), items_to_bytes([Item(each) for each in requests]))
    shared = SpeechRequest(text="", voice_id="anna")
    job = stores.jobs.create(Job(id="batch", request=shared, priority=Priority.BATCH, items=3, voices=("anna",))).job
    survivor = worker("survivor")
    for name, alone in (("first", False), ("second", True)):
        doomed = worker(name)
        in_background(doomed.synthesize, job.id)
        eventually(partial(lambda alone: encoder.stuck == 1 + alone, alone))
        assert kill(doomed) == (JoinedLast(job.id, 1 + PLACE, alone=alone),), "after the first item's one segment"
        survivor.sweep_buried()
    assert stores.jobs.get(job.id).status is JobStatus.FAILED
