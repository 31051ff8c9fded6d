"""Equal jobs under way are computed once, and each is still its own: one suite over memory and Redis."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import JobProgress, JobStatus, Priority, SpeechRequest
from contract.stores.job_erasure import erase_job

LEASE_S = 10.0
FAILURE = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no")
LATE = ErrorInfo(ErrorCode.DEADLINE_EXCEEDED, "late")


@pytest.fixture
def equal(stores, new_job, clock):
    """`equal(n)`: so many jobs of one fingerprint, one after another; the first leads."""

    def make(count: int = 2, **changes):
        made = []
        for _ in range(count):
            made.append(stores.jobs.create(new_job(fingerprint="same", **changes)).job)
            clock.advance(0.125)
        return made

    return make


def claim(stores, job_id):
    return stores.jobs.claim(job_id, worker="w1", lease_s=LEASE_S)


def statuses(stores, jobs) -> list[str]:
    return [stores.jobs.get(job.id).status.value for job in jobs]


def test_equal_jobs_have_records_of_their_own_and_one_is_computed(stores, equal, new_job, result):
    first, second = equal()
    other = stores.jobs.create(new_job(fingerprint="other"))

    assert first.id != second.id
    assert (second.work_id, other.job.work_id) == (first.id, other.job.id)
    assert stores.jobs.depth().queued_jobs == 2, "who follows waits in no queue"
    assert claim(stores, second.id) is None
    held = claim(stores, first.id)
    stores.jobs.heartbeat(first.id, held.token, lease_s=LEASE_S, progress=JobProgress(1, 3))
    assert stores.jobs.get(second.id).progress == JobProgress(1, 3)
    assert stores.jobs.get(second.id).token == held.token
    assert stores.jobs.finish(first.id, held.token, result)
    assert [stores.jobs.get(job.id).result for job in (first, second)] == [result, result]
    assert not stores.jobs.create(new_job(fingerprint="same")).follows, "what has ended is not followed"


def test_who_follows_holds_no_text_but_knows_its_length(stores, new_job):
    request = SpeechRequest(text="x" * 5000)
    _, second = (stores.jobs.create(new_job(fingerprint="long", request=request)).job for _ in range(2))
    assert (second.request.text, second.characters) == ("", 5000)


def test_many_equal_jobs_at_once_are_one_piece_of_work(stores, new_job):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: stores.jobs.create(new_job(fingerprint="same")), range(24)))
    assert len({c.job.id for c in made}) == 24
    assert len({c.job.work_id for c in made}) == 1
    assert sum(not c.follows for c in made) == 1


def test_no_job_follows_another_text_or_one_that_is_not_to_be_cached(stores, new_job):
    stores.jobs.create(new_job(fingerprint="a"))
    fresh = SpeechRequest(text="x", cache=False)

    assert not stores.jobs.create(new_job(fingerprint="b")).follows
    assert not stores.jobs.create(new_job(fingerprint=None)).follows
    assert not stores.jobs.create(new_job(fingerprint="a", request=fresh)).follows
    assert stores.jobs.create(new_job(fingerprint="a", request=fresh)).follows
    assert stores.jobs.create(new_job(fingerprint="a")).follows


def test_a_follower_that_is_cancelled_leaves_the_others_alone(stores, equal, result):
    jobs = equal(3)
    held = claim(stores, jobs[0].id)

    assert stores.jobs.request_cancel(jobs[1].id).status is JobStatus.CANCELLED
    assert not stores.jobs.heartbeat(jobs[0].id, held.token, lease_s=LEASE_S).cancel_requested
    stores.jobs.finish(jobs[0].id, held.token, result)
    assert statuses(stores, jobs) == ["done", "cancelled", "done"]


@pytest.mark.parametrize("is_running", [False, True])
def test_a_leader_that_is_cancelled_hands_over(stores, equal, new_job, result, is_running):
    jobs = equal(3)
    held = claim(stores, jobs[0].id) if is_running else None

    assert stores.jobs.request_cancel(jobs[0].id).status is JobStatus.CANCELLED
    assert stores.jobs.create(new_job(fingerprint="same")).follows, "the work is still under way"
    heir = stores.jobs.leader(jobs[0].id)
    assert (heir.id, heir.request.text) == (jobs[1].id, jobs[0].request.text)
    held = held or claim(stores, jobs[0].id)  # the message that was sent names the work
    assert stores.jobs.heartbeat(jobs[0].id, held.token, lease_s=LEASE_S).alive
    assert stores.jobs.depth().running_audio_s == jobs[0].estimate_s
    assert stores.jobs.finish(jobs[0].id, held.token, result)
    assert statuses(stores, jobs) == ["cancelled", "done", "done"]
    assert stores.jobs.leader(jobs[0].id) is None
    assert stores.jobs.depth().running_audio_s == 0


def test_when_all_are_cancelled_the_worker_is_told(stores, equal):
    jobs = equal(3)
    held = claim(stores, jobs[0].id)
    for job in jobs:
        assert not stores.jobs.heartbeat(jobs[0].id, held.token, lease_s=LEASE_S).cancel_requested
        stores.jobs.request_cancel(job.id)

    assert stores.jobs.heartbeat(jobs[0].id, held.token, lease_s=LEASE_S).cancel_requested
    assert stores.jobs.cancelled(jobs[0].id, held.token)
    assert statuses(stores, jobs) == ["cancelled"] * 3
    assert stores.jobs.depth() == type(stores.jobs.depth())()


def test_a_leader_cancelled_as_it_finishes_is_one_or_the_other_and_its_follower_is_done(stores, new_job, result):
    for n in range(20):
        jobs = [stores.jobs.create(new_job(fingerprint=f"race{n}")).job for _ in range(2)]
        held = claim(stores, jobs[0].id)
        with ThreadPoolExecutor(2) as pool:
            finished = pool.submit(stores.jobs.finish, jobs[0].id, held.token, result)
            pool.submit(stores.jobs.request_cancel, jobs[0].id).result()
            assert finished.result()
        assert statuses(stores, jobs)[0] in {"done", "cancelled"}
        assert statuses(stores, jobs)[1] == "done"


def test_who_joins_as_the_work_ends_is_done_with_it_or_begins_anew(stores, new_job, result):
    for n in range(20):
        first = stores.jobs.create(new_job(fingerprint=f"race{n}")).job
        held = claim(stores, first.id)
        with ThreadPoolExecutor(2) as pool:
            pool.submit(stores.jobs.finish, first.id, held.token, result)
            joined = pool.submit(stores.jobs.create, new_job(fingerprint=f"race{n}")).result()
        status = stores.jobs.get(joined.job.id).status
        assert status is (JobStatus.DONE if joined.follows else JobStatus.QUEUED)


def test_a_failure_is_everybodys(stores, equal):
    jobs = equal(3)
    held = claim(stores, jobs[0].id)
    stores.jobs.request_cancel(jobs[0].id)
    assert stores.jobs.fail(jobs[0].id, held.token, FAILURE)
    assert statuses(stores, jobs) == ["cancelled", "failed", "failed"]
    assert stores.jobs.get(jobs[2].id).error == FAILURE


def test_a_lost_worker_loses_none_and_the_second_loss_ends_all_with_the_reason(stores, equal, clock):
    jobs = equal(3)
    claim(stores, jobs[0].id)
    stores.jobs.request_cancel(jobs[0].id)
    clock.advance(LEASE_S)
    assert stores.jobs.expired() == (jobs[1].id,)

    assert stores.jobs.requeue(jobs[1].id).status is JobStatus.QUEUED
    assert statuses(stores, jobs) == ["cancelled", "queued", "queued"]
    assert claim(stores, jobs[0].id).job.id == jobs[1].id
    clock.advance(LEASE_S)
    stores.jobs.requeue(jobs[1].id)
    assert statuses(stores, jobs) == ["cancelled", "failed", "failed"]
    assert stores.jobs.get(jobs[2].id).error.code is ErrorCode.WORKER_LOST


def test_a_stale_worker_can_do_nothing_to_those_who_go_on(stores, equal, clock, result):
    jobs = equal()
    old = claim(stores, jobs[0].id)
    stores.jobs.request_cancel(jobs[0].id)
    clock.advance(LEASE_S)
    stores.jobs.requeue(jobs[1].id)
    new = claim(stores, jobs[0].id)

    assert not stores.jobs.finish(jobs[0].id, old.token, result)
    assert not stores.jobs.heartbeat(jobs[0].id, old.token, lease_s=LEASE_S).alive
    assert stores.jobs.finish(jobs[0].id, new.token, result)


def test_a_draining_worker_gives_all_of_them_back(stores, equal):
    jobs = equal(3)
    held = claim(stores, jobs[0].id)
    assert stores.jobs.release(jobs[0].id, held.token)
    assert statuses(stores, jobs) == ["queued"] * 3
    assert stores.jobs.get(jobs[0].id).attempts == 0


def test_a_deadline_ends_its_own_job_only(stores, new_job, clock, result):
    hasty, patient = (
        stores.jobs.create(new_job(fingerprint="same", deadline_at=clock() + seconds)).job for seconds in (5, 500)
    )
    held = claim(stores, hasty.id)
    clock.advance(5)
    assert stores.jobs.fail(hasty.id, held.token, LATE)

    assert statuses(stores, [hasty, patient]) == ["failed", "queued"]
    assert [job.id for job in stores.jobs.resend_due(older_than_s=30)] == [patient.id], "the next sweep sends it"
    again = claim(stores, hasty.id)
    assert (again.job.id, again.job.deadline_at, again.job.attempts) == (patient.id, patient.deadline_at, 1)
    assert stores.jobs.finish(hasty.id, again.token, result)
    assert stores.jobs.get(patient.id).status is JobStatus.DONE


def test_a_deadline_of_a_leader_who_left_is_not_the_heirs(stores, new_job, clock):
    hasty, patient = (stores.jobs.create(new_job(fingerprint="same", deadline_at=at)).job for at in (clock() + 5, None))
    held = claim(stores, hasty.id)
    stores.jobs.request_cancel(hasty.id)
    clock.advance(5)
    assert stores.jobs.fail(hasty.id, held.token, LATE)
    assert statuses(stores, [hasty, patient]) == ["cancelled", "queued"]


def test_a_follower_whose_time_is_up_does_not_wait_for_the_leader(stores, new_job, clock):
    patient, hasty = (stores.jobs.create(new_job(fingerprint="same", deadline_at=at)).job for at in (None, clock() + 5))
    held = claim(stores, patient.id)
    clock.advance(5)
    stores.jobs.heartbeat(patient.id, held.token, lease_s=LEASE_S)
    assert statuses(stores, [patient, hasty]) == ["running", "failed"]
    assert stores.jobs.get(hasty.id).error.code is ErrorCode.DEADLINE_EXCEEDED


def test_work_is_as_urgent_as_whoever_waits_for_it(stores, equal, new_job):
    (book,) = equal(1, priority=Priority.BATCH)
    stores.jobs.create(new_job(priority=Priority.INTERACTIVE))
    created = stores.jobs.create(new_job(fingerprint="same", priority=Priority.INTERACTIVE))

    assert (created.raised.id, created.raised.priority) == (book.id, Priority.INTERACTIVE)
    assert stores.jobs.queue_position(book.id) == stores.jobs.queue_position(created.job.id) == 0
    assert stores.jobs.depth().queued_interactive_audio_s == stores.jobs.depth().queued_audio_s
    assert stores.jobs.create(new_job(fingerprint="same")).raised is None


def test_files_stay_until_the_last_who_shares_them_is_erased(stores, equal, result):
    jobs = equal(3)
    held = claim(stores, jobs[0].id)
    stores.jobs.request_cancel(jobs[0].id)
    stores.blobs.put(f"jobs/{jobs[0].id}/audio.wav", b"audio")

    assert erase_job(stores.jobs, stores.blobs, jobs[0].id)[1] == 0
    assert stores.jobs.get(jobs[0].id) is None
    assert stores.jobs.finish(jobs[0].id, held.token, result), "its name is still the work's"
    assert erase_job(stores.jobs, stores.blobs, jobs[2].id)[1] == 0
    assert stores.blobs.exists(f"jobs/{jobs[0].id}/audio.wav")
    assert erase_job(stores.jobs, stores.blobs, jobs[1].id)[1] == 1
    assert not stores.jobs.keeps_files(jobs[0].id)


def test_a_heir_has_the_uploaded_recording(stores, new_job):
    first = stores.jobs.create(new_job(fingerprint="same", reference_audio_blob="jobs/a/reference")).job
    second = stores.jobs.create(new_job(fingerprint="same", reference_audio_blob="jobs/b/reference")).job
    assert second.reference_audio_blob == first.reference_audio_blob


def test_each_job_has_a_webhook_and_an_idempotency_key_of_its_own(stores, new_job, result):
    made = [
        stores.jobs.create(
            new_job(fingerprint="same", webhook_url=f"https://example.org/{n}", idempotency_key=f"k{n}"), body_hash="b"
        ).job
        for n in range(2)
    ]
    again = stores.jobs.create(new_job(fingerprint="same", idempotency_key="k1"), body_hash="b")
    assert (again.job.id, again.is_new) == (made[1].id, False)
    held = claim(stores, made[0].id)
    stores.jobs.finish(made[0].id, held.token, result)
    due = stores.webhooks.claim(lease_s=10, limit=10)
    assert {delivery.job_id for delivery in due} == {job.id for job in made}


def test_a_withdrawn_job_leaves_its_followers_in_the_queue(stores, equal):
    first, second = equal()
    assert stores.jobs.withdraw(first.id)
    assert stores.jobs.get(first.id) is None
    assert stores.jobs.depth().queued_jobs == 1
    assert [job.id for job in stores.jobs.resend_due(older_than_s=30)] == [second.id]
    assert claim(stores, first.id).job.id == second.id


def test_a_job_that_a_resend_was_answered_with_is_not_withdrawn(stores, new_job):
    first = stores.jobs.create(new_job(idempotency_key="k"), body_hash="b").job
    stores.jobs.create(new_job(idempotency_key="k"), body_hash="b")
    assert not stores.jobs.withdraw(first.id)
    assert stores.jobs.get(first.id).status is JobStatus.QUEUED


def test_a_record_of_the_release_before_is_still_read(redis_settings, stores, new_job):
    """It has no count of characters, and follows nobody."""
    from contract.records import job_fields, job_from_fields

    fields = job_fields(new_job())
    assert job_from_fields(json.loads(json.dumps(fields))).characters == len("你好, world")
