"""The job record: one suite over memory and Redis."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import JobProgress, JobStatus, Priority, SpeechRequest
from contract.stores.interfaces import Chunk
from contract.stores.jobs import Heartbeat, JobFilter, QueueDepth

LEASE_S = 10.0
FAILURE = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no")


def claim(stores, job_id):
    return stores.jobs.claim(job_id, worker="w1", lease_s=LEASE_S)


def test_a_created_job_reads_back_as_it_was_written(stores, new_job, clock):
    job = new_job(
        priority=Priority.BATCH,
        deadline_at=clock.now_s + 60,
        fingerprint="f" * 64,
        request_id="req-1",
        owner="key-1",
        webhook_url="https://example.org/hook",
        metadata={"chapter": 3, "书": "红楼梦"},
        reference_audio_blob="jobs/x/reference",
    )
    created = stores.jobs.create(job)

    assert created.is_new
    assert stores.jobs.get(job.id) == created.job
    assert created.job.created_at == created.job.queued_at == clock.now_s
    assert created.job.metadata == job.metadata
    assert created.job.request == job.request


def test_an_unknown_job_is_none_everywhere(stores):
    assert stores.jobs.get("job_nope") is None
    assert claim(stores, "job_nope") is None
    assert stores.jobs.request_cancel("job_nope") is None
    assert stores.jobs.delete("job_nope") is None
    assert stores.jobs.requeue("job_nope") is None
    assert stores.jobs.queue_position("job_nope") is None
    assert not stores.jobs.fail("job_nope", 1, FAILURE)


def test_a_second_delivery_finds_the_job_claimed(stores, new_job):
    job = stores.jobs.create(new_job()).job
    first = claim(stores, job.id)

    assert first is not None
    assert first.job.status is JobStatus.RUNNING
    assert first.job.attempts == 1
    assert first.job.lease_until == first.job.started_at + LEASE_S
    assert claim(stores, job.id) is None


def test_of_many_workers_exactly_one_gets_the_job(stores, new_job):
    job = stores.jobs.create(new_job()).job
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: claim(stores, job.id), range(16)))
    assert sum(c is not None for c in claims) == 1


def test_a_finished_job_holds_its_result_and_no_lease(stores, new_job, result, clock):
    held = claim(stores, stores.jobs.create(new_job()).job.id)
    clock.advance(3)

    assert stores.jobs.finish(held.job.id, held.token, result)
    job = stores.jobs.get(held.job.id)
    assert job.status is JobStatus.DONE
    assert job.result == result
    assert job.finished_at == clock.now_s
    assert job.lease_until is None


def test_nothing_leads_out_of_an_end_state(stores, new_job, result):
    held = claim(stores, stores.jobs.create(new_job()).job.id)
    stores.jobs.finish(held.job.id, held.token, result)
    done = stores.jobs.get(held.job.id)

    assert stores.jobs.finish(held.job.id, held.token, result), "our own call, repeated"
    assert not stores.jobs.fail(held.job.id, held.token, FAILURE)
    assert not stores.jobs.cancelled(held.job.id, held.token)
    assert not stores.jobs.release(held.job.id, held.token)
    assert stores.jobs.request_cancel(held.job.id) == done
    assert claim(stores, held.job.id) is None
    assert stores.jobs.get(held.job.id) == done


def test_a_heartbeat_renews_the_lease_and_carries_progress(stores, new_job, clock):
    held = claim(stores, stores.jobs.create(new_job()).job.id)
    progress = JobProgress(segments_done=1, segments_total=3, steps_done=40, steps_total=96, audio_s=2.25)
    clock.advance(8)

    beat = stores.jobs.heartbeat(held.job.id, held.token, lease_s=LEASE_S, progress=progress)
    assert beat == Heartbeat(alive=True, cancel_requested=False)
    job = stores.jobs.get(held.job.id)
    assert job.progress == progress
    assert job.lease_until == clock.now_s + LEASE_S
    clock.advance(8)
    assert stores.jobs.expired() == ()


def test_a_stale_token_can_do_nothing(stores, new_job, result, clock):
    old = claim(stores, stores.jobs.create(new_job()).job.id)
    clock.advance(LEASE_S)
    stores.jobs.requeue(old.job.id)
    new = claim(stores, old.job.id)

    assert new.token > old.token
    assert not stores.jobs.heartbeat(old.job.id, old.token, lease_s=LEASE_S).alive
    assert not stores.jobs.finish(old.job.id, old.token, result)
    assert not stores.jobs.fail(old.job.id, old.token, FAILURE)
    assert stores.jobs.finish(new.job.id, new.token, result)


def test_a_lost_worker_costs_one_attempt_and_the_second_loss_ends_the_job(stores, new_job, clock):
    job = stores.jobs.create(new_job()).job
    claim(stores, job.id)
    assert stores.jobs.requeue(job.id) is None, "the lease still runs"
    clock.advance(LEASE_S)

    assert stores.jobs.expired() == (job.id,)
    again = stores.jobs.requeue(job.id)
    assert again.status is JobStatus.QUEUED
    assert stores.jobs.requeue(job.id) is None, "another sweeper was first"
    claim(stores, job.id)
    clock.advance(LEASE_S)
    ended = stores.jobs.requeue(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error.code is ErrorCode.WORKER_LOST
    assert stores.jobs.expired() == ()


def test_a_worker_that_drains_gives_the_job_back_at_no_cost(stores, new_job):
    held = claim(stores, stores.jobs.create(new_job()).job.id)
    assert stores.jobs.release(held.job.id, held.token)
    job = stores.jobs.get(held.job.id)
    assert (job.status, job.attempts, job.worker) == (JobStatus.QUEUED, 0, None)
    assert claim(stores, job.id).token > held.token


def test_cancelling_a_waiting_job_ends_it_at_once(stores, new_job):
    job = stores.jobs.create(new_job()).job
    assert stores.jobs.request_cancel(job.id).status is JobStatus.CANCELLED
    assert claim(stores, job.id) is None


def test_cancelling_a_running_job_is_told_by_the_next_heartbeat(stores, new_job):
    held = claim(stores, stores.jobs.create(new_job()).job.id)
    assert stores.jobs.request_cancel(held.job.id).status is JobStatus.RUNNING
    assert stores.jobs.heartbeat(held.job.id, held.token, lease_s=LEASE_S).cancel_requested
    assert stores.jobs.cancelled(held.job.id, held.token)
    assert stores.jobs.get(held.job.id).status is JobStatus.CANCELLED


def test_a_cancelled_job_of_a_lost_worker_is_not_run_again(stores, new_job, clock):
    held = claim(stores, stores.jobs.create(new_job()).job.id)
    stores.jobs.request_cancel(held.job.id)
    clock.advance(LEASE_S)
    assert stores.jobs.requeue(held.job.id).status is JobStatus.CANCELLED


def test_a_resent_idempotency_key_returns_the_first_job(stores, new_job):
    first = stores.jobs.create(new_job(idempotency_key="k", owner="a"), body_hash="1").job
    again = stores.jobs.create(new_job(idempotency_key="k", owner="a"), body_hash="1")
    assert (again.job.id, again.is_new) == (first.id, False)
    assert stores.jobs.create(new_job(idempotency_key="k", owner="b"), body_hash="1").is_new
    with pytest.raises(ServiceError) as caught:
        stores.jobs.create(new_job(idempotency_key="k", owner="a"), body_hash="2")
    assert caught.value.code is ErrorCode.CONFLICT


def test_a_repeated_create_of_one_id_writes_once(stores, new_job):
    job = new_job()
    stores.jobs.create(job)
    assert stores.jobs.create(job).job.id == job.id
    assert stores.jobs.depth().queued_jobs == 1


def test_depth_counts_expected_audio_exactly_through_every_transition(stores, new_job, result, clock):
    a = stores.jobs.create(new_job(estimate_s=0.1)).job
    b = stores.jobs.create(new_job(estimate_s=0.2, priority=Priority.BATCH)).job
    c = stores.jobs.create(new_job(estimate_s=0.7)).job
    assert stores.jobs.depth() == QueueDepth(3, 0, 1.0, 0.8, 0.0, clock.now_s)
    held = claim(stores, a.id)
    stores.jobs.request_cancel(c.id)
    assert stores.jobs.depth() == QueueDepth(1, 1, 0.2, 0.0, 0.1, clock.now_s)
    stores.jobs.finish(a.id, held.token, result)
    claim(stores, b.id)
    clock.advance(LEASE_S)
    stores.jobs.requeue(b.id)
    assert stores.jobs.depth() == QueueDepth(1, 0, 0.2, 0.0, 0.0, clock.now_s)
    stores.jobs.request_cancel(b.id)
    assert stores.jobs.depth() == QueueDepth()


def test_interactive_jobs_stand_in_front_of_batch_jobs(stores, new_job, clock):
    made = []
    for priority in (Priority.BATCH, Priority.INTERACTIVE, Priority.BATCH, Priority.INTERACTIVE):
        made.append(stores.jobs.create(new_job(priority=priority)).job.id)
        clock.advance(1)
    assert [stores.jobs.queue_position(i) for i in made] == [2, 0, 3, 1]
    claim(stores, made[1])
    assert [stores.jobs.queue_position(i) for i in made] == [1, None, 2, 0]


def test_a_message_that_may_be_lost_is_sent_again_once_per_period(stores, new_job, clock):
    job = stores.jobs.create(new_job()).job
    assert stores.jobs.resend_due(older_than_s=60) == ()
    clock.advance(60)
    assert [j.id for j in stores.jobs.resend_due(older_than_s=60)] == [job.id]
    assert stores.jobs.resend_due(older_than_s=60) == ()
    clock.advance(60)
    claim(stores, job.id)
    assert stores.jobs.resend_due(older_than_s=60) == ()


def test_messages_that_may_be_lost_are_sent_again_whatever_their_period(stores, new_job, clock):
    """Of each queue the first, for messages are taken in its order; and not those that were sent since."""
    batch = [stores.jobs.create(new_job(priority=Priority.BATCH)).job.id for _ in range(3)]
    running, urgent = (stores.jobs.create(new_job(priority=Priority.INTERACTIVE)).job.id for _ in range(2))
    claim(stores, running)
    clock.advance(5)
    later = stores.jobs.create(new_job(priority=Priority.INTERACTIVE)).job.id
    assert stores.jobs.doubt_messages(older_than_s=6) == 0
    assert stores.jobs.doubt_messages(older_than_s=5, limit=2) == 3
    assert stores.jobs.doubt_messages(older_than_s=5, limit=2) == 0, "they are doubted already"

    first, second, _ = sorted(batch, key=stores.jobs.queue_position)
    assert {j.id for j in stores.jobs.resend_due(older_than_s=60)} == {first, second, urgent}
    assert stores.jobs.resend_due(older_than_s=60) == ()
    assert stores.jobs.doubt_messages() == 5
    assert later in {j.id for j in stores.jobs.resend_due(older_than_s=60)}


def test_jobs_are_listed_newest_first_page_by_page(stores, new_job, clock):
    ids = []
    for n in range(7):
        ids.append(stores.jobs.create(new_job(owner="a" if n % 2 else "b")).job.id)
        clock.advance(1 if n % 3 else 0)  # some share a moment
    seen, cursor = [], None
    while True:
        page = stores.jobs.list(cursor=cursor, limit=2)
        seen += [j.id for j in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(ids)
    assert len(seen) == len(set(seen))
    times = [stores.jobs.get(i).created_at for i in seen]
    assert times == sorted(times, reverse=True)
    assert {j.id for j in stores.jobs.list(owner="a").jobs} == set(ids[1::2])


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_of_what_is_wanted_hold_each_job_once_whatever_comes_meanwhile(stores, new_job, clock, limit):
    """Jobs of two voices, some at the same moment; new ones come and old ones change while the pages are turned."""
    began_s = clock.now_s
    for n in range(40):
        voice = SpeechRequest(text="x", voice_id="anna" if n % 3 else "bert")
        priority = Priority.BATCH if n % 2 else Priority.INTERACTIVE
        stores.jobs.create(new_job(id=f"job_{n:02}", request=voice, priority=priority, metadata={"n": n}))
        clock.advance(1 if n % 4 else 0)
    wanted = JobFilter(created_from=began_s + 3, created_before=began_s + 25, voice_id="anna", priority=Priority.BATCH)
    everything = {job.id: job for job in stores.jobs.list(limit=200).jobs}
    expected = [job.id for job in everything.values() if wanted.has(job)]
    assert 5 < len(expected) < 15

    seen, cursor = [], None
    while True:
        page = stores.jobs.list(wanted=wanted, cursor=cursor, limit=limit)
        assert len(page.jobs) == limit or page.cursor is None
        seen += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
        stores.jobs.create(new_job(request=SpeechRequest(text="x", voice_id="anna"), priority=Priority.BATCH))
        stores.jobs.request_cancel(seen[-1])
    assert seen == expected


def test_a_batch_is_listed_under_each_of_its_voices(stores, new_job):
    job = stores.jobs.create(new_job(items=2, voices=("anna", "bert"))).job
    for voice, count in (("anna", 1), ("bert", 1), ("default", 0)):
        assert len(stores.jobs.list(wanted=JobFilter(voice_id=voice)).jobs) == count, job


@pytest.mark.parametrize("job_id", ["..", "a:chunks", "a b", "", "x" * 65, 'a"b', "声"])
def test_an_id_that_is_not_one_of_ours_is_simply_not_there(stores, new_job, job_id):
    stores.jobs.create(new_job(id="a"))
    stores.chunks.append("a", 1, Chunk(0, b"x"))
    assert stores.jobs.get(job_id) is None
    assert stores.jobs.request_cancel(job_id) is None
    assert stores.jobs.delete(job_id) is None
    assert stores.jobs.queue_position(job_id) is None


@pytest.mark.parametrize("cursor", ["", "nan_job_1", "x_y", "1_", "1e400_a", "1"])
def test_a_cursor_that_is_not_one_of_ours_is_refused(stores, cursor):
    with pytest.raises(ServiceError) as caught:
        stores.jobs.list(cursor=cursor)
    assert caught.value.code is ErrorCode.INVALID_VALUE


def test_jobs_are_listed_by_status(stores, new_job):
    waiting = stores.jobs.create(new_job()).job.id
    running = stores.jobs.create(new_job()).job.id
    claim(stores, running)
    assert [j.id for j in stores.jobs.list(status=JobStatus.QUEUED).jobs] == [waiting]
    assert [j.id for j in stores.jobs.list(status=JobStatus.RUNNING).jobs] == [running]
    assert stores.jobs.list(status=JobStatus.DONE).jobs == ()


def test_a_live_job_cannot_be_erased_and_an_ended_one_leaves_no_trace(stores, new_job):
    job = stores.jobs.create(new_job(fingerprint="f")).job
    assert stores.jobs.delete(job.id) is None
    stores.jobs.request_cancel(job.id)
    assert stores.jobs.delete(job.id).id == job.id
    assert stores.jobs.get(job.id) is None
    assert stores.jobs.list().jobs == ()
    assert stores.jobs.outdated() == ()


def test_an_ended_job_is_outdated_after_its_time(stores, new_job, clock, settings):
    job = stores.jobs.create(new_job()).job
    stores.jobs.request_cancel(job.id)
    clock.advance(settings.jobs.keep_s - 1)
    assert stores.jobs.outdated() == ()
    clock.advance(1)
    assert stores.jobs.outdated() == (job.id,)


def test_a_cancel_of_a_running_job_is_announced_as_one(stores, new_job, wait):
    """So that its worker looks then, and not at every step that it reports itself."""
    stop, heard = threading.Event(), []
    thread = threading.Thread(target=lambda: heard.extend(e.status for e in stores.events.listen(stop)))
    thread.start()
    try:
        wait(lambda: heard == [""], "the subscription stands")
        job = stores.jobs.create(new_job()).job
        claim(stores, job.id)
        stores.jobs.request_cancel(job.id)
        wait(lambda: "cancelling" in heard, "the cancel is heard")
    finally:
        stop.set()
        thread.join()


def test_each_change_is_announced(stores, new_job, result, wait):
    """But for the first: nobody can wait for an id that nobody has been told."""
    stop, heard = threading.Event(), []

    def listen():
        events = stores.events.listen(stop)
        heard.extend((event.kind.value, event.id, event.status) for event in events)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        wait(lambda: heard == [("resync", "", "")], "the subscription stands")
        job = stores.jobs.create(new_job()).job
        held = claim(stores, job.id)
        stores.jobs.heartbeat(job.id, held.token, lease_s=LEASE_S)
        stores.jobs.heartbeat(job.id, held.token, lease_s=LEASE_S, progress=JobProgress(1, 2))
        stores.jobs.finish(job.id, held.token, result)
        stores.jobs.delete(job.id)
        expected = ["running", "running", "done", "deleted"]
        wait(lambda: len(heard) == 5, "all changes are heard")
        assert heard[1:] == [("job", job.id, status) for status in expected]
    finally:
        stop.set()
        thread.join()


def test_who_only_waited_for_its_segments_when_its_worker_was_lost_is_no_suspect(stores, new_job, clock):
    job = stores.jobs.create(new_job()).job
    for done, is_ending, attempts in ((0, False, 0), (1, False, 0), (2, False, 0), (2, True, 1)):
        # of two: waiting for both, for one, for its turn; joining what all have rendered
        held = stores.jobs.claim(job.id, worker="w", lease_s=LEASE_S)
        progress = JobProgress(done, 2, is_ending=is_ending)
        stores.jobs.heartbeat(job.id, held.token, lease_s=LEASE_S, progress=progress)
        clock.advance(LEASE_S + 1)
        assert stores.jobs.requeue(job.id).attempts == attempts
    stores.jobs.claim(job.id, worker="w", lease_s=LEASE_S)
    clock.advance(LEASE_S + 1)
    assert stores.jobs.requeue(job.id).status is JobStatus.FAILED, "lost once more as it was read"
