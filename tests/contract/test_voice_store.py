"""Voice records, workers and chunks: one suite over memory and Redis."""

from __future__ import annotations

import threading

import pytest

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import VoiceStatus, VoiceType, WorkerState
from contract.stores.interfaces import Chunk

UNREADABLE = ErrorInfo(ErrorCode.AUDIO_UNREADABLE, "not audio")


def prepared(stores, voice, **changes):
    values = {"prompt_blob": "voices/alice/v1/prompt.safetensors", "revision": "r1", "duration_s": 3.5}
    return stores.voices.prepared(voice.id, voice.version, **{**values, **changes})


def test_a_voice_reads_back_as_it_was_written(stores, new_voice, clock):
    voice = stores.voices.create(
        new_voice(type=VoiceType.BUILTIN, language="zh", consent="书面", quality={"noise": "low"})
    )
    assert stores.voices.get("alice") == voice
    assert stores.voices.has("alice")
    assert stores.voices.list() == (voice,)
    assert (voice.version, voice.created_at, voice.status) == (1, clock.now_s, VoiceStatus.PREPARING)


def test_an_unknown_voice_is_none_everywhere(stores):
    assert stores.voices.get("nobody") is None
    assert not stores.voices.has("nobody")
    assert stores.voices.delete("nobody") is None
    assert stores.voices.update("nobody", name="x") is None
    assert not stores.voices.failed("nobody", 1, UNREADABLE)


def test_an_id_that_is_taken_is_refused_unless_replaced(stores, new_voice, clock):
    first = stores.voices.create(new_voice())
    clock.advance(5)
    with pytest.raises(ServiceError) as caught:
        stores.voices.create(new_voice())
    assert caught.value.code is ErrorCode.VOICE_EXISTS
    second = stores.voices.create(new_voice(name="Other"), replace=True)
    assert (second.version, second.name, second.created_at) == (2, "Other", first.created_at)


def test_a_prepared_voice_is_ready(stores, new_voice):
    voice = stores.voices.create(new_voice())
    assert prepared(stores, voice, quality={"snr_db": 31.5})
    ready = stores.voices.get("alice")
    assert ready.status is VoiceStatus.READY
    assert (ready.duration_s, ready.revision, ready.quality) == (3.5, "r1", {"snr_db": 31.5})


def test_a_voice_that_cannot_be_prepared_says_why_until_it_can(stores, new_voice):
    voice = stores.voices.create(new_voice())
    assert stores.voices.failed("alice", voice.version, UNREADABLE)
    assert stores.voices.get("alice").error == UNREADABLE
    prepared(stores, voice)
    assert stores.voices.get("alice").error is None


def test_a_late_preparation_does_not_touch_the_new_recording(stores, new_voice):
    old = stores.voices.create(new_voice())
    new = stores.voices.create(new_voice(), replace=True)
    assert not prepared(stores, old)
    assert not stores.voices.failed("alice", old.version, UNREADABLE)
    assert stores.voices.get("alice") == new


def test_an_id_used_again_after_deletion_has_a_new_version(stores, new_voice):
    old = stores.voices.create(new_voice())
    assert stores.voices.delete("alice") == old
    assert stores.voices.get("alice") is None
    assert stores.voices.list() == ()
    assert stores.voices.create(new_voice()).version == 2
    assert not prepared(stores, old)


def test_people_may_change_what_is_shown_and_nothing_else(stores, new_voice):
    voice = stores.voices.create(new_voice())
    stores.voices.failed("alice", voice.version, UNREADABLE)
    changed = stores.voices.update("alice", name="爱丽丝", description="calm")
    assert (changed.name, changed.description, changed.language) == ("爱丽丝", "calm", None)
    assert changed.error == UNREADABLE


def test_voices_are_listed_oldest_first(stores, new_voice, clock):
    for name in ("zoe", "bob", "amy"):
        stores.voices.create(new_voice(name))
        clock.advance(1)
    assert [v.id for v in stores.voices.list()] == ["zoe", "bob", "amy"]


def test_a_worker_is_known_while_it_says_so(stores, clock, wait):
    state = WorkerState(
        name="w1@host",
        pid=7,
        host="host",
        device="cpu",
        precision="fp32",
        ready=True,
        revision="123",
        capabilities=("encode", "decode"),
        rtf=0.5,
        started_at=clock.now_s,
    )
    stores.workers.heartbeat(state, ttl_s=5)
    (found,) = stores.workers.list()
    assert (found.name, found.ready, found.revision, found.rtf) == ("w1@host", True, "123", 0.5)
    assert found.capabilities == ("encode", "decode")
    assert found.seen_at == clock.now_s
    clock.advance(5)
    assert stores.workers.list() == ()


def test_a_worker_that_leaves_is_gone_at_once(stores):
    state = WorkerState(name="w", pid=1, host="h", device="cpu", precision="fp32", ready=False)
    stores.workers.heartbeat(state, ttl_s=5)
    stores.workers.remove("w")
    assert stores.workers.list() == ()


def test_chunks_are_read_in_order_from_where_one_stands(stores):
    for n in range(3):
        stores.chunks.append("job_1", 5, Chunk(n, bytes([n]), is_last=n == 2, about={"text": "a"}))
    assert [c.data for c in stores.chunks.read("job_1", 5)] == [b"\0", b"\1", b"\2"]
    (last,) = stores.chunks.read("job_1", 5, after=1)
    assert last == Chunk(2, b"\2", is_last=True, about={"text": "a"})
    assert stores.chunks.read("job_1", 6) == ()
    assert stores.chunks.read("job_2", 5) == ()


def test_a_reader_waits_for_the_next_chunk(stores):
    heard = []
    reader = threading.Thread(target=lambda: heard.extend(stores.chunks.read("job_1", 5, wait_s=20)))
    reader.start()
    stores.chunks.append("job_1", 5, Chunk(0, b"x"))
    reader.join(20)
    assert [c.data for c in heard] == [b"x"]


def test_chunks_are_wanted_once_somebody_says_so(stores):
    assert not stores.chunks.is_wanted("job_1")
    stores.chunks.want("job_1")
    assert stores.chunks.is_wanted("job_1")
    assert not stores.chunks.is_wanted("job_2")


def test_a_new_chunk_is_announced_under_its_job(stores, wait):
    stop, events = threading.Event(), []
    thread = threading.Thread(target=lambda: events.extend(heard.id for heard in stores.events.listen(stop)))
    thread.start()
    try:
        wait(lambda: events == [""], "the subscription stands")
        stores.chunks.append("job_7", 1, Chunk(0, b"x"))
        wait(lambda: events == ["", "job_7"], "the chunk is heard of")
    finally:
        stop.set()
        thread.join()


def test_changes_of_a_voice_are_announced(stores, new_voice, wait):
    stop, events = threading.Event(), []

    def listen():
        events.extend((event.id, event.status) for event in stores.events.listen(stop))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        wait(lambda: events == [("", "")], "the subscription stands")
        voice = stores.voices.create(new_voice())
        prepared(stores, voice)
        stores.voices.delete("alice")
        expected = [("", ""), ("alice", "preparing"), ("alice", "ready"), ("alice", "deleted")]
        wait(lambda: events == expected, "all changes are heard")
    finally:
        stop.set()
        thread.join()
