"""One job's segments over several workers: rendered once, joined in order, and only what is not there yet."""

import io
import json
import threading
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from fake_engine import speech, voice_of
from patience import clip, eventually

from contract.errors import ErrorCode, ServiceError
from contract.schemas import AudioFormat, JobStatus, Priority
from contract.stores.voice_erasure import VoiceErasure
from megatts3.audio.join import join
from megatts3.errors import NonFinite
from worker.translate import to_sampling_params

LINES = [f"This is sentence number {n}" for n in range(12)]
BOOK = ". ".join(LINES)
SEED = {"seed": 7}
LIMIT_16_BIT = 1  # a segment is kept in 24 bits and the answer has 16


def samples(stores, job) -> np.ndarray:
    result = stores.jobs.get(job.id).result
    return soundfile.read(io.BytesIO(stores.blobs.get(result.audio_blob)), dtype="int16")[0].astype(int)


def expected(job, lines=LINES) -> np.ndarray:
    params = to_sampling_params(job.request, seed=7)
    parts = [lines[0], *(f" {line}" for line in lines[1:])]
    return join([speech(part, voice_of(clip()), params) for part in parts]).pcm16().astype(int)


def test_a_long_text_is_spoken_by_every_worker_and_joined_in_order(watched, stores, submit):
    workers = [watched(f"w{n}") for n in range(3)]
    for worker in workers:
        worker.engine.gate.clear()
    job = submit(BOOK, request=SEED, priority=Priority.BATCH)
    speaking = threading.Thread(target=workers[0].synthesize, args=(job.id,))
    speaking.start()
    eventually(lambda: all(worker.engine.submitted for worker in workers))
    for worker in workers:
        worker.engine.gate.set()
    speaking.join(20)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert sorted(line.strip() for w in workers for line in w.engine.rendered) == sorted(LINES)
    assert np.abs(samples(stores, job) - expected(job)).max() <= LIMIT_16_BIT
    assert stores.jobs.get(job.id).result.segments == len(LINES)
    assert stores.segments.wanting() == ()


def test_several_workers_make_the_audio_that_one_makes(watched, make_runtime, stores, submit):
    """The segments are kept in 24 bits, whoever rendered them: byte for byte the same."""
    alone = watched("alone")
    first = submit(BOOK, request={**SEED, "cache": False})
    alone.synthesize(first.id)
    more = [watched(f"w{n}") for n in range(2)]
    second = submit(BOOK, request={**SEED, "cache": False}, priority=Priority.BATCH)
    more[0].synthesize(second.id)

    assert (samples(stores, first) == samples(stores, second)).all()


def test_of_an_edited_text_only_what_changed_is_rendered(watched, stores, submit):
    worker = watched()
    first = submit(BOOK, request=SEED)
    worker.synthesize(first.id)
    assert stores.jobs.get(first.id).result.cache == "miss"
    worker.engine.rendered.clear()
    edited = [*LINES[:5], "Here is another one", *LINES[6:]]

    second = submit(". ".join(edited), request={**SEED, "response_format": AudioFormat.FLAC})
    worker.synthesize(second.id)

    result = stores.jobs.get(second.id).result
    assert worker.engine.rendered == [" Here is another one"]
    assert (result.cache, result.segments_reused) == ("partial", len(LINES) - 1)
    assert np.abs(samples(stores, second) - expected(second, edited)).max() <= LIMIT_16_BIT


def test_an_edited_text_without_a_seed_keeps_the_sound_of_its_other_sentences(watched, stores, submit):
    worker = watched()
    worker.synthesize(submit(BOOK).id)
    worker.engine.rendered.clear()

    worker.synthesize(submit(BOOK.replace("number 3", "number three")).id)

    assert worker.engine.rendered == [" This is sentence number three"]


@pytest.mark.parametrize("change", [{"speed": 1.5}, {"seed": 8}, {"time_step": 4}, {"p_w": 2.0}, {"pitch": 1.1}])
def test_another_sound_is_never_taken_from_what_was_left(watched, stores, submit, change):
    worker = watched()
    worker.synthesize(submit(BOOK, request=SEED).id)
    worker.engine.rendered.clear()

    worker.synthesize(submit(BOOK, request={**SEED, **change}).id)

    assert len(worker.engine.rendered) == len(LINES)


def test_without_the_cache_nothing_is_taken_and_nothing_is_left(watched, stores, submit):
    worker = watched()
    worker.synthesize(submit(BOOK, request=SEED).id)
    worker.engine.rendered.clear()
    before = stores.segments.stats()

    job = submit(BOOK, request={**SEED, "cache": False})
    worker.synthesize(job.id)

    assert len(worker.engine.rendered) == len(LINES)
    assert stores.jobs.get(job.id).result.cache == "miss"
    after = stores.segments.stats()
    assert (after.kept, after.size_bytes) == (before.kept, before.size_bytes)


def test_two_equal_books_at_once_are_rendered_once(watched, stores, submit, in_background):
    one, two = watched("one"), watched("two")
    jobs = [submit(BOOK, request=SEED) for _ in range(2)]
    for worker, job in zip((one, two), jobs, strict=True):
        in_background(worker.synthesize, job.id)
    eventually(lambda: all(stores.jobs.get(job.id).status is JobStatus.DONE for job in jobs))

    assert len(one.engine.rendered) + len(two.engine.rendered) == len(LINES)
    assert (samples(stores, jobs[0]) == samples(stores, jobs[1])).all()


def test_a_lost_worker_costs_only_what_it_had_not_finished(watched, stores, submit, in_background, lose):
    """The worker that had the job stands still beyond its lease, three segments in its hands; another goes on."""
    lost = watched("lost")
    lost.engine.holds = {f" {line}" for line in LINES[4:]}
    job = submit(BOOK, request=SEED, priority=Priority.BATCH)
    in_background(lost.synthesize, job.id)
    eventually(lambda: stores.segments.stats().rendered == 4 and stores.segments.stats().running == 3)
    lose(lost)
    heir = watched("heir")
    heir.sweep()
    assert stores.jobs.get(job.id).status is JobStatus.QUEUED
    heir.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert sorted(heir.engine.rendered) == sorted(f" {line}" for line in LINES[4:])
    assert np.abs(samples(stores, job) - expected(job)).max() <= LIMIT_16_BIT
    assert stores.jobs.get(job.id).result.cache == "miss", "its own former segments are no hit"
    before = stores.segments.stats()
    lost.engine.holds.clear()
    lost.line.thaw()  # it wakes up, finds its leases lost, and writes nothing
    eventually(lambda: not lost.renderers.held and not lost.leases.held)
    assert stores.segments.stats() == before


def test_a_cancel_stops_every_workers_part_of_the_job(watched, stores, submit, in_background):
    workers = [watched(f"w{n}") for n in range(2)]
    for worker in workers:
        worker.engine.gate.clear()
    job = submit(BOOK, request=SEED, priority=Priority.BATCH)
    in_background(workers[0].synthesize, job.id)
    eventually(lambda: all(worker.renderers.held for worker in workers))

    stores.jobs.request_cancel(job.id)
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.CANCELLED)
    eventually(lambda: not any(worker.renderers.held for worker in workers))

    stats = stores.segments.stats()
    assert (stats.queued, stats.running, stats.rendered) == (0, 0, 0)


def test_a_cancelled_book_goes_on_for_who_wants_the_same(watched, stores, submit, in_background):
    worker = watched()
    worker.engine.gate.clear()
    unwanted, wanted = (submit(BOOK, request=SEED) for _ in range(2))
    for job in (unwanted, wanted):
        in_background(worker.synthesize, job.id)
    eventually(lambda: len(stores.segments.wanting()) == 2)
    stores.jobs.request_cancel(unwanted.id)
    eventually(lambda: stores.jobs.get(unwanted.id).status is JobStatus.CANCELLED)
    worker.engine.gate.set()
    eventually(lambda: stores.jobs.get(wanted.id).status is JobStatus.DONE)

    assert len(worker.engine.rendered) == len(LINES)


def test_a_segment_that_cannot_be_made_fails_the_job_with_its_reason_and_stops_the_rest(watched, stores, submit):
    worker = watched()
    worker.engine.failures[f" {LINES[2]}"] = NonFinite("row", "latent")
    worker.engine.holds = {f" {line}" for line in LINES[3:]}
    job = submit(BOOK, request=SEED)
    worker.synthesize(job.id)

    ended = stores.jobs.get(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error.code is ErrorCode.SYNTHESIS_FAILED
    eventually(lambda: not worker.renderers.held)
    assert stores.segments.stats().queued == 0


def test_a_book_leaves_a_row_for_who_waits_for_a_sentence(watched, stores, submit, in_background, settings):
    worker = watched()
    worker.engine.holds = {LINES[0], *(f" {line}" for line in LINES)}
    book = submit(BOOK, request=SEED, priority=Priority.BATCH)
    in_background(worker.synthesize, book.id)
    eventually(lambda: worker.renderers.held == settings.model.batch_size - 1)

    chat = submit("A line. And another.", priority=Priority.INTERACTIVE)
    worker.synthesize(chat.id)

    assert stores.jobs.get(chat.id).status is JobStatus.DONE
    assert worker.renderers.held == settings.model.batch_size - 1
    worker.engine.holds.clear()


def test_a_deadline_ends_a_book_wherever_it_is(watched, stores, submit, clock, in_background):
    worker = watched()
    worker.engine.gate.clear()
    job = submit(BOOK, request=SEED, deadline_at=clock() + 5)
    in_background(worker.synthesize, job.id)
    eventually(lambda: worker.renderers.held)
    clock.turn(6)
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.FAILED)

    assert stores.jobs.get(job.id).error.code is ErrorCode.DEADLINE_EXCEEDED
    eventually(lambda: not worker.renderers.held)


def test_a_draining_worker_hands_a_book_back_at_once_and_nothing_is_lost(watched, stores, submit, in_background, sent):
    worker, other = watched("leaving"), watched("staying")
    other.engine.gate.clear()
    worker.engine.holds = {f" {line}" for line in LINES[2:]}
    job = submit(BOOK, request=SEED, priority=Priority.BATCH)
    thread = in_background(worker.synthesize, job.id)
    eventually(lambda: worker.renderers.held and other.renderers.held)

    worker.begin_drain()
    thread.join(10)
    assert stores.jobs.get(job.id).status is JobStatus.QUEUED
    assert sent[-1][1] == job.id
    worker.engine.holds.clear()
    worker.renderers.stop()
    other.engine.gate.set()
    other.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert stores.jobs.get(job.id).attempts == 1
    assert np.abs(samples(stores, job) - expected(job)).max() <= LIMIT_16_BIT


def test_progress_counts_segments_and_steps_of_all_workers(watched, stores, submit, in_background):
    workers = [watched(f"w{n}") for n in range(2)]
    for worker in workers:
        worker.engine.holds = {f" {line}" for line in LINES[3:]}
    job = submit(BOOK, request=SEED, priority=Priority.BATCH)
    in_background(workers[0].synthesize, job.id)
    eventually(lambda: stores.jobs.get(job.id).progress.segments_done == 3)

    progress = stores.jobs.get(job.id).progress
    assert progress.segments_total == len(LINES)
    assert progress.steps_done == 3 * job.request.time_step
    assert progress.steps_total == len(LINES) * job.request.time_step
    for worker in workers:
        worker.engine.holds.clear()


def test_a_segment_whose_bytes_were_erased_by_hand_is_made_again(watched, stores, submit):
    worker = watched()
    worker.synthesize(submit(BOOK, request=SEED).id)
    stores.blobs.delete_tree("cache/segments")
    job = submit(f"{BOOK}. One more", request=SEED)
    worker.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    assert np.abs(samples(stores, job) - expected(job, [*LINES, "One more"])).max() <= LIMIT_16_BIT


def test_an_erased_voice_takes_its_segments_along(watched, stores, submit, voice):
    worker = watched()
    worker.synthesize(submit(BOOK, request=SEED).id)
    assert stores.segments.stats().kept == len(LINES)

    VoiceErasure(stores).erase(voice)

    assert stores.segments.stats().kept == 0
    assert not [key for key in stores.blobs._blobs if key.startswith("cache/segments")]


def test_a_segment_that_ends_after_its_voice_was_erased_is_not_kept(watched, stores, submit, voice, in_background):
    worker = watched()
    worker.engine.gate.clear()
    job = submit(BOOK, request=SEED)
    in_background(worker.synthesize, job.id)
    eventually(lambda: worker.renderers.held)
    stores.voices.delete(voice.id)
    worker.engine.gate.set()
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.FAILED)

    assert stores.jobs.get(job.id).error.code is ErrorCode.VOICE_NOT_FOUND
    eventually(lambda: not worker.renderers.held)
    assert stores.segments.stats().kept == 0


def test_a_job_says_when_its_words_are_heard_spoken_or_from_the_cache(watched, stores, submit):
    worker = watched()
    jobs = []
    for _ in range(2):  # the second is answered from the audio cache
        jobs.append(submit(BOOK, request=SEED, fingerprint="book"))
        worker.synthesize(jobs[-1].id)
    assert stores.jobs.get(jobs[1].id).result.from_cache

    spoken, cached = (json.loads(stores.blobs.get(stores.jobs.get(job.id).result.timestamps_blob)) for job in jobs)
    assert [segment["text"].strip() for segment in spoken["segments"]] == LINES
    assert all(a["start_s"] < b["start_s"] for a, b in pairwise(spoken["segments"]))
    assert spoken == cached


def test_kept_segments_make_way_when_there_is_no_room_for_new_work(make_runtime, stores, submit, monkeypatch):
    worker = make_runtime()
    worker._events.start()
    worker.synthesize(submit(BOOK, request=SEED).id)
    before = stores.segments.stats()
    worker.sweep()
    assert stores.segments.stats() == before

    def full() -> None:
        raise ServiceError(ErrorCode.STORAGE_FULL)

    monkeypatch.setattr(stores.blobs, "require_room", full)
    worker.sweep()
    after = stores.segments.stats()
    assert 0 < after.size_bytes <= 0.75 * before.size_bytes
    held = [key for key in stores.blobs._blobs if key.startswith("cache/segments")]
    assert len(held) == after.kept, "their bytes are gone, too"


@pytest.mark.parametrize("text", ["One sentence", f"{LINES[0]}. {LINES[1]}"])
def test_nobody_waits_in_company_for_a_disk_that_is_full(watched, stores, submit, in_background, monkeypatch, text):
    """What is spoken already is stored when there is room; a suspect's turn comes meanwhile."""
    worker, put = watched(), stores.blobs.put
    storing, has_room = threading.Event(), threading.Event()

    def wait_for_room(key: str, data: bytes) -> None:
        if "audio" in key or "segments" in key:
            storing.set()
            assert has_room.wait(20)
        put(key, data)

    job = submit(text, request=SEED)
    worker.prompts.prepare(job.request.voice_id)
    monkeypatch.setattr(stores.blobs, "put", wait_for_room)
    in_background(worker.synthesize, job.id)
    assert storing.wait(10)
    was_alone = threading.Event()

    def take_a_turn() -> None:
        with worker._company.alone():
            was_alone.set()

    in_background(take_a_turn)
    assert was_alone.wait(10)
    has_room.set()
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.DONE)
