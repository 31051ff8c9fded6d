"""Segments as work and as finished work: the same suite over memory and Redis."""

from __future__ import annotations

import threading

import pytest

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Priority
from contract.stores.interfaces import EventKind, Stores
from contract.stores.segments import (
    OWN,
    QUARANTINE_S,
    RunningSegment,
    SegmentRecord,
    SegmentStatus,
    SegmentStore,
    WantedSegment,
)

LEASE_S = 15.0
FAILED = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "not a number")


@pytest.fixture
def segments(stores: Stores) -> SegmentStore:
    return stores.segments


def wanted(*keys: str, after_s: float = 0.0) -> list[WantedSegment]:
    return [WantedSegment(key, n, after_s + n, voice_id="alice") for n, key in enumerate(keys)]


def claim(segments: SegmentStore, **how: bool) -> SegmentRecord | None:
    """Whatever is to be had."""
    fresh = segments.claim(worker="w0", lease_s=LEASE_S, **how)
    return fresh or segments.claim_suspect(worker="w0", lease_s=LEASE_S)


def claimed(segments: SegmentStore) -> SegmentRecord:
    found = claim(segments)
    assert found is not None
    return found


def finish(segments: SegmentStore, record: SegmentRecord, size_bytes: int = 100) -> bool:
    blob = f"cache/segments/{record.key}"
    return segments.finish(record.key, record.token, blob=blob, size_bytes=size_bytes, about={"frames": 8})


def status(segments: SegmentStore, key: str) -> SegmentStatus | None:
    (record,) = segments.read([key])
    return None if record is None else record.status


def test_a_segment_goes_from_queued_to_running_to_done(segments) -> None:
    (asked,) = segments.want("job_1", Priority.BATCH, wanted("a"))
    running = claimed(segments)
    assert finish(segments, running)
    (done,) = segments.read(["a"])

    assert [r.status for r in (asked, running, done)] == ["queued", "running", "done"]
    assert (done.blob, done.size_bytes, done.about, done.job_id) == ("cache/segments/a", 100, {"frames": 8}, "job_1")
    assert claim(segments) is None
    assert segments.stats().rendered == 1


def test_what_is_done_already_is_told_at_once_and_not_queued(segments) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    finish(segments, claimed(segments))
    segments.leave("job_1")

    first, second = segments.want("job_2", Priority.BATCH, wanted("a", "b"))

    assert (first.status, first.job_id, second.status) == ("done", "job_1", "queued")
    assert claimed(segments).key == "b"
    assert claim(segments) is None


def test_two_jobs_that_want_the_same_segment_have_it_rendered_once(segments) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    segments.want("job_2", Priority.BATCH, wanted("a"))

    assert claim(segments) is not None
    assert claim(segments) is None


def test_every_segment_is_claimed_once_whoever_asks(segments) -> None:
    keys = [f"k{n}" for n in range(40)]
    segments.want("job_1", Priority.BATCH, wanted(*keys))
    found: list[str] = []

    def work() -> None:
        while (record := claim(segments)) is not None:
            found.append(record.key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == sorted(keys)


def test_the_soonest_wanted_goes_first_and_interactive_before_batch(segments) -> None:
    segments.want("book", Priority.BATCH, wanted("b0", "b1"))
    segments.want("late", Priority.BATCH, wanted("l0", after_s=0.5))
    segments.want("chat", Priority.INTERACTIVE, wanted("c0", after_s=50))

    assert [claimed(segments).key for _ in range(4)] == ["c0", "b0", "l0", "b1"]


def test_a_batch_segment_that_a_chat_wants_too_becomes_interactive(segments) -> None:
    segments.want("book", Priority.BATCH, wanted("b0", "b1"))
    segments.want("chat", Priority.INTERACTIVE, [WantedSegment("b1", 0)])

    assert claim(segments, batch=False).key == "b1"
    assert claim(segments, batch=False) is None


def test_a_stale_token_changes_nothing(segments, clock) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    first = claimed(segments)
    clock.advance(LEASE_S + 1)
    assert segments.recover().requeued == ("a",)
    second = claimed(segments)

    assert not finish(segments, first)
    assert not segments.fail("a", first.token, FAILED)
    assert not segments.release("a", first.token)
    assert segments.renew([RunningSegment("a", first.token)], lease_s=LEASE_S) == ("a",)
    assert second.token > first.token
    assert finish(segments, second)
    assert finish(segments, second), "our own call, repeated"


def test_a_renewed_lease_is_kept_and_tells_the_steps(segments, clock) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    running = claimed(segments)
    clock.advance(LEASE_S - 1)
    assert segments.renew([RunningSegment("a", running.token, steps_done=7)], lease_s=LEASE_S) == ()
    clock.advance(LEASE_S - 1)

    assert segments.recover().requeued == ()
    assert segments.read(["a"])[0].steps_done == 7


def test_a_segment_that_took_down_two_workers_never_meets_a_third(segments, clock) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    for _ in range(2):
        claimed(segments)
        clock.advance(LEASE_S + 1)
        recovered = segments.recover(max_attempts=2)

    assert recovered.given_up == ("a",)
    assert segments.read(["a"])[0].error.code is ErrorCode.WORKER_LOST
    segments.leave("job_1")
    (again,) = segments.want("job_2", Priority.BATCH, wanted("a"))
    assert again.status is SegmentStatus.FAILED
    assert claim(segments) is None

    clock.advance(QUARANTINE_S + 1)
    (later,) = segments.want("job_3", Priority.BATCH, wanted("a"))
    assert later.status is SegmentStatus.QUEUED


def test_a_suspect_is_left_to_who_takes_suspects(segments, clock) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a", "b"))
    claimed(segments)
    clock.advance(LEASE_S + 1)
    segments.recover()

    assert segments.has_suspects()
    assert segments.stats().queued == 2
    assert segments.claim(worker="w0", lease_s=LEASE_S).key == "b"
    assert segments.claim(worker="w0", lease_s=LEASE_S) is None
    assert segments.claim_suspect(worker="w0", lease_s=LEASE_S).key == "a"
    assert segments.claim_suspect(worker="w0", lease_s=LEASE_S) is None
    assert not segments.has_suspects()


def test_a_suspect_nobody_wants_any_more_is_none(segments, clock) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    claimed(segments)
    clock.advance(LEASE_S + 1)
    segments.recover()
    segments.leave("job_1")

    assert not segments.has_suspects()


def test_a_released_segment_was_no_crash(segments, clock) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    for _ in range(3):
        running = claimed(segments)
        assert segments.release("a", running.token)
    assert claimed(segments).attempts == 1


def test_a_failed_segment_says_why_and_is_tried_anew_by_who_wants_it_later(segments) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    running = claimed(segments)
    assert segments.fail("a", running.token, FAILED)
    assert segments.read(["a"])[0].error == FAILED
    segments.leave("job_1")

    (again,) = segments.want("job_2", Priority.BATCH, wanted("a"))
    assert (again.status, again.error) == (SegmentStatus.QUEUED, None)


def test_what_nobody_wants_any_more_is_not_rendered(segments) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a", "b"))
    running = claimed(segments)
    assert segments.leave("job_1") == ()

    assert claim(segments) is None
    assert segments.renew([RunningSegment("a", running.token)], lease_s=LEASE_S) == ("a",)
    assert segments.release("a", running.token)
    assert segments.read(["a", "b"]) == (None, None)
    assert segments.wanting() == ()


def test_what_another_job_wants_too_goes_on_in_its_name(segments) -> None:
    segments.want("job_1", Priority.BATCH, [WantedSegment("a", 3)])
    segments.want("job_2", Priority.BATCH, [WantedSegment("a", 7)])
    segments.leave("job_1")

    running = claimed(segments)
    assert (running.job_id, running.index) == ("job_2", 7)
    assert segments.renew([RunningSegment("a", running.token)], lease_s=LEASE_S) == ()
    assert segments.wanting() == ("job_2",)


def test_a_jobs_own_segments_go_with_it(segments) -> None:
    own, half = f"{OWN}1", f"{OWN}2"
    segments.want("job_1", Priority.BATCH, wanted(own, half))
    finish(segments, claimed(segments))
    running = claimed(segments)

    assert segments.leave("job_1") == (f"cache/segments/{own}",)
    assert not finish(segments, running), "nobody's"
    assert segments.read([own, half]) == (None, None)
    assert segments.stats().size_bytes == 0


def test_the_least_recently_used_go_first_and_what_is_wanted_stays(segments, clock) -> None:
    keys = ["a", "b", "c", "d"]
    segments.want("job_1", Priority.BATCH, wanted(*keys))
    for _ in keys:
        finish(segments, claimed(segments))
    segments.leave("job_1")
    segments.want("job_2", Priority.BATCH, wanted("a"))  # used again
    segments.leave("job_2")
    segments.want("job_3", Priority.BATCH, wanted("c"))  # wanted now
    assert segments.stats().size_bytes == 400

    assert segments.trim(max_bytes=200, older_than_s=60) == ("cache/segments/b", "cache/segments/d")
    assert segments.stats().size_bytes == 200
    clock.advance(61)
    assert segments.trim(max_bytes=200, older_than_s=60) == ("cache/segments/a",)
    assert status(segments, "c") is SegmentStatus.DONE


def test_a_segment_whose_bytes_are_gone_is_rendered_again(segments) -> None:
    segments.want("job_1", Priority.BATCH, wanted("a"))
    finish(segments, claimed(segments))
    segments.forget("a")

    (again,) = segments.want("job_1", Priority.BATCH, wanted("a"))
    assert again.status is SegmentStatus.QUEUED
    assert segments.stats().size_bytes == 0


def test_a_voices_segments_are_erased_with_it(segments) -> None:
    segments.want("job_1", Priority.BATCH, [*wanted("a"), WantedSegment("b", 1, voice_id="bob")])
    for _ in range(2):
        finish(segments, claimed(segments))
    segments.leave("job_1")

    assert segments.delete_voice("alice") == ("cache/segments/a",)
    assert (status(segments, "a"), status(segments, "b")) == (None, SegmentStatus.DONE)


def test_new_work_and_its_end_are_announced(stores, wait) -> None:
    heard: list[tuple[str, str]] = []
    stop, ready = threading.Event(), threading.Event()

    def listen() -> None:
        for event in stores.events.listen(stop):
            ready.set()
            if event.kind is EventKind.SEGMENT:
                heard.append((event.id, event.status))

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(10)
    stores.segments.want("job_1", Priority.BATCH, wanted("a", "b"))
    finish(stores.segments, claimed(stores.segments))
    claimed(stores.segments)
    stores.segments.leave("job_1")
    try:
        wait(lambda: len(heard) == 3, "three announcements")
    finally:
        stop.set()
        thread.join()

    assert heard == [("", "queued"), ("job_1", "done"), ("b", "unwanted")]


def test_a_whole_book_can_be_wanted_and_left(segments) -> None:
    keys = [f"k{n}" for n in range(1200)]
    found = segments.want("book", Priority.BATCH, wanted(*keys))

    assert [record.key for record in found] == keys
    assert segments.stats().queued == 1200
    segments.leave("book")
    assert segments.stats().queued == 0
