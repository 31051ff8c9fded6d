"""A job of items: spoken as work of its own by every worker, each with its own audio and its own end."""

import dataclasses
import io
import json

import numpy as np
import pytest
import soundfile
from fake_engine import FakeEngine, speech, voice_of
from patience import clip, eventually

from contract import blob_keys
from contract.errors import ErrorCode
from contract.records import items_to_bytes
from contract.schemas import AudioFormat, Item, Job, JobStatus, Priority, SpeechRequest
from contract.stores.interfaces import Stores
from megatts3.audio.join import join
from megatts3.errors import NonFinite
from worker.translate import to_sampling_params

LIMIT_16_BIT = 1  # a segment is kept in 24 bits and the answer has 16


@pytest.fixture
def stores(either_stores) -> Stores:
    return either_stores


@pytest.fixture
def batch(stores, voice):
    """`batch(texts)`: a job of items as the API makes it."""
    count = 0

    def make(texts, *, priority: Priority = Priority.BATCH, deadline_at: float | None = None, **changes) -> Job:
        nonlocal count
        count += 1
        requests = [SpeechRequest(text=text, voice_id=voice.id, seed=7, **changes) for text in texts]
        items = [Item(each, fingerprint=f"print of {each.text}") for each in requests]
        job_id = f"batch_{count}"
        stores.blobs.put(blob_keys.job_items(job_id), items_to_bytes(items))
        shared = SpeechRequest(text="", voice_id=voice.id, **changes)
        job = Job(
            id=job_id,
            request=shared,
            priority=priority,
            deadline_at=deadline_at,
            items=len(items),
            voices=(voice.id,),
            estimate_s=3.0,
        )
        return stores.jobs.create(job).job

    return make


def states(stores, job) -> list[str]:
    found = stores.jobs.items(job.id)
    return [found[n].status.value if n in found else "queued" for n in range(job.items)]


def samples(stores, state) -> np.ndarray:
    return soundfile.read(io.BytesIO(stores.blobs.get(state.result.audio_blob)), dtype="int16")[0].astype(int)


def spoken(text: str) -> np.ndarray:
    params = to_sampling_params(SpeechRequest(text=text, seed=7), seed=7)
    parts = [part for part in text.split(".") if part.strip()]
    return join([speech(part, voice_of(clip()), params) for part in parts]).pcm16().astype(int)


def test_every_item_has_its_own_audio_whoever_spoke_it(watched, stores, batch, in_background):
    texts = [f"Item {n}. It has {n} words" if n % 3 else f"Short {n}" for n in range(20)]
    workers = [watched(f"w{n}") for n in range(3)]
    for worker in workers:
        worker.engine.gate.clear()
    job = batch(texts)
    speaking = in_background(workers[0].synthesize, job.id)
    eventually(lambda: all(worker.engine.submitted for worker in workers))
    for worker in workers:
        worker.engine.gate.set()
    speaking.join(20)

    done = stores.jobs.get(job.id)
    assert done.status is JobStatus.DONE
    found = stores.jobs.items(job.id)
    assert states(stores, job) == ["done"] * 20
    for n, text in enumerate(texts):
        heard = samples(stores, found[n])
        assert len(heard) == len(spoken(text))
        assert np.abs(heard - spoken(text)).max() <= LIMIT_16_BIT
    assert (done.result.audio_blob, done.result.segments) == ("", sum(2 if n % 3 else 1 for n in range(20)))
    assert done.result.duration_s == pytest.approx(sum(state.result.duration_s for state in found.values()))
    assert done.progress.items_done <= 20
    assert stores.segments.wanting() == ()


def test_an_item_that_fails_harms_no_other(watched, stores, batch):
    worker = watched()
    worker.engine.failures[" the bad part"] = NonFinite("row", "latent")
    worker.engine.failures["alone and bad"] = NonFinite("row", "latent")
    job = batch(["fine", "good. the bad part. and more", ".", "alone and bad", "last"])

    worker.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert states(stores, job) == ["done", "failed", "failed", "failed", "done"]
    found = stores.jobs.items(job.id)
    assert found[1].error.code is ErrorCode.SYNTHESIS_FAILED
    assert found[2].error.code is not ErrorCode.INTERNAL, "a text without anything to say"
    assert np.abs(samples(stores, found[4]) - spoken("last")).max() <= LIMIT_16_BIT


def test_a_job_none_of_whose_items_came_to_anything_fails_with_the_first_reason(watched, stores, batch):
    worker = watched()
    worker.engine.failures["one"] = worker.engine.failures["two"] = NonFinite("row", "latent")
    job = batch(["one", "two"])
    worker.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.FAILED
    assert stores.jobs.get(job.id).error.code is ErrorCode.SYNTHESIS_FAILED
    assert states(stores, job) == ["failed", "failed"]


def test_an_item_of_an_unknown_voice_fails_alone(watched, stores, batch, voice):
    worker = watched()
    job = batch(["mine", "theirs"])
    items = [
        Item(SpeechRequest(text="mine", voice_id=voice.id, seed=7)),
        Item(SpeechRequest(text="theirs", voice_id="nobody", seed=7)),
    ]
    stores.blobs.put(blob_keys.job_items(job.id), items_to_bytes(items))
    worker.synthesize(job.id)

    assert states(stores, job) == ["done", "failed"]
    assert stores.jobs.items(job.id)[1].error.code is ErrorCode.VOICE_NOT_FOUND


def test_items_have_their_own_form_and_times(watched, stores, batch):
    worker = watched()
    job = batch(["Say this. And that"], response_format=AudioFormat.FLAC)
    worker.synthesize(job.id)

    (state,) = stores.jobs.items(job.id).values()
    assert state.result.audio_format is AudioFormat.FLAC
    assert stores.blobs.get(state.result.audio_blob)[:4] == b"fLaC"
    times = json.loads(stores.blobs.get(state.result.timestamps_blob))
    assert [segment["text"].strip() for segment in times["segments"]] == ["Say this", "And that"]


def test_items_spoken_before_come_from_the_cache(watched, stores, batch):
    worker = watched()
    first = batch(["again", "and again. twice"])
    worker.synthesize(first.id)
    worker.engine.rendered.clear()
    second = batch(["again", "new", "and again. twice"])
    worker.synthesize(second.id)

    found = stores.jobs.items(second.id)
    assert worker.engine.rendered == ["new"]
    assert [found[n].result.cache for n in range(3)] == ["hit", "miss", "hit"]
    one, two = stores.jobs.items(first.id)[1].result.audio_blob, found[2].result.audio_blob
    assert stores.blobs.get(one) == stores.blobs.get(two)


def test_progress_counts_items_and_the_record_shows_each_as_it_ends(watched, stores, batch, in_background):
    worker = watched()
    worker.engine.holds = {"three"}
    job = batch(["one", "two", "three"])
    in_background(worker.synthesize, job.id)
    eventually(lambda: states(stores, job) == ["done", "done", "queued"])
    worker.leases.beat()

    progress = stores.jobs.get(job.id).progress
    assert (progress.items_done, progress.items_failed, progress.segments_total) == (2, 0, 3)
    assert stores.blobs.get(stores.jobs.items(job.id)[0].result.audio_blob)
    worker.engine.holds.clear()


def test_a_cancel_stops_every_workers_part_and_leaves_what_was_done(watched, stores, batch, in_background):
    workers = [watched(f"w{n}") for n in range(2)]
    for worker in workers:
        worker.engine.holds = {f"item {n}" for n in range(2, 9)}
    job = batch([f"item {n}" for n in range(9)])
    in_background(workers[0].synthesize, job.id)
    eventually(lambda: states(stores, job)[:2] == ["done", "done"] and all(w.renderers.held for w in workers))

    stores.jobs.request_cancel(job.id)
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.CANCELLED)
    eventually(lambda: not any(worker.renderers.held for worker in workers))
    assert stores.segments.wanting() == ()
    assert states(stores, job)[:2] == ["done", "done"]


def test_a_lost_worker_costs_only_the_items_it_had_not_finished(watched, stores, batch, in_background, lose):
    lost = watched("lost")
    texts = [f"item {n}" for n in range(8)]
    lost.engine.holds = set(texts[3:])
    job = batch(texts)
    in_background(lost.synthesize, job.id)
    eventually(lambda: states(stores, job)[:3] == ["done"] * 3)
    before = {n: stores.jobs.items(job.id)[n].result.audio_blob for n in range(3)}
    lose(lost)
    heir = watched("heir")
    heir.sweep()
    heir.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert states(stores, job) == ["done"] * 8
    assert sorted(heir.engine.rendered) == sorted(texts[3:])
    found = stores.jobs.items(job.id)
    assert {n: found[n].result.audio_blob for n in range(3)} == before
    assert np.abs(samples(stores, found[7]) - spoken("item 7")).max() <= LIMIT_16_BIT
    lost.engine.holds.clear()


def test_a_segment_is_never_spoken_as_what_stands_in_its_place(watched, stores, batch, in_background):
    """The manuscript was lost and read anew, shorter; segments that were wanted before say where they once stood."""
    worker = watched()
    worker.engine.holds = {"two", "three"}
    job = batch(["one", "two", "three"])
    in_background(worker.synthesize, job.id)
    eventually(lambda: states(stores, job)[0] == "done" and worker.renderers.held == 2)
    manuscripts = worker.speaker._spreader._manuscripts
    whole = manuscripts.of_job(job.id)
    shorter = dataclasses.replace(whole, lines=whole.lines[1:])
    assert shorter.line(1, whole.lines[1].key) is whole.lines[1]
    with pytest.raises(KeyError):
        shorter.line(0, whole.lines[0].key)
    worker.engine.holds.clear()


def test_a_stale_worker_can_note_no_item(stores, batch, clock):
    from contract.schemas import ItemState

    job = batch(["one"])
    old = stores.jobs.claim(job.id, worker="w", lease_s=5)
    clock.turn(6)
    stores.jobs.requeue(job.id)
    new = stores.jobs.claim(job.id, worker="w", lease_s=5)
    assert not stores.jobs.note_items(job.id, old.token, {0: ItemState(JobStatus.RUNNING)})
    assert stores.jobs.items(job.id) == {}
    assert stores.jobs.note_items(job.id, new.token, {0: ItemState(JobStatus.RUNNING)})
    assert stores.jobs.items(job.id) == {0: ItemState(JobStatus.RUNNING)}


def test_a_deadline_ends_the_job_and_keeps_what_was_done(watched, stores, batch, clock, in_background):
    worker = watched()
    worker.engine.holds = {"slow"}
    job = batch(["quick", "slow"], deadline_at=clock() + 5)
    in_background(worker.synthesize, job.id)
    eventually(lambda: states(stores, job)[0] == "done")
    clock.turn(6)
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.FAILED)
    assert stores.jobs.get(job.id).error.code is ErrorCode.DEADLINE_EXCEEDED
    assert states(stores, job)[0] == "done"
    worker.engine.holds.clear()


def test_erasing_the_job_erases_every_items_audio(watched, stores, batch):
    from contract.stores.job_erasure import erase_job

    worker = watched()
    job = batch(["one", "two"])
    worker.synthesize(job.id)
    blobs = [state.result.audio_blob for state in stores.jobs.items(job.id).values()]
    erase_job(stores.jobs, stores.blobs, job.id)

    assert not any(stores.blobs.exists(blob) for blob in blobs)
    assert stores.jobs.items(job.id) == {}


def test_a_line_of_conversation_is_answered_while_sixteen_books_are_under_way(watched, stores, submit, batch, settings):
    """Books and batches hold no task thread: one thread takes them all, and the next line too."""
    engine = FakeEngine()
    worker = watched(engine=engine)
    begin = type(worker).synthesize
    books = [
        submit(f"Book {n} begins. Then it goes on. And it ends", request={"seed": 7}, priority=Priority.BATCH)
        for n in range(16)
    ]
    engine.holds = {f"Book {n} begins" for n in range(16)} | {" Then it goes on", " And it ends", "of a batch"}
    for book in books:
        begin(worker, book.id)  # returns: the thread is free
    begin(worker, batch(["of a batch"]).id)
    assert worker.leases.held == 17

    line = submit("A line of conversation")
    dialogue = submit("Two. Sentences")
    begin(worker, line.id)
    assert stores.jobs.get(line.id).status is JobStatus.DONE
    begin(worker, dialogue.id)
    eventually(lambda: stores.jobs.get(dialogue.id).status is JobStatus.DONE)
    assert all(stores.jobs.get(book.id).status is JobStatus.RUNNING for book in books)
    engine.holds.clear()
    eventually(lambda: all(stores.jobs.get(book.id).status is JobStatus.DONE for book in books), 30)
    sounds = {stores.blobs.get(stores.jobs.get(book.id).result.audio_blob) for book in books}
    assert len(sounds) == 16
