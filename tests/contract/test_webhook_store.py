"""The due webhooks: the same over memory and Redis."""

import pytest

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Job, SpeechRequest
from contract.stores.webhooks import Delivery

FAILURE = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no")
URL = "https://example.org/hook"


@pytest.fixture
def submit(stores):
    def make(job_id: str = "job_1", url: str | None = URL) -> Job:
        return stores.jobs.create(Job(id=job_id, request=SpeechRequest(text="hi", voice_id="a"), webhook_url=url)).job

    return make


def due(stores) -> tuple[Delivery, ...]:
    return stores.webhooks.claim(lease_s=90, limit=10)


def test_a_job_is_due_once_it_ended_and_not_before(stores, submit):
    job = submit()
    assert due(stores) == ()
    token = stores.jobs.claim(job.id, worker="w", lease_s=15).token
    assert due(stores) == ()

    stores.jobs.fail(job.id, token, FAILURE)

    assert due(stores) == (Delivery(job.id, 1),)


def test_a_job_that_was_cancelled_as_it_waited_is_due(stores, submit):
    stores.jobs.request_cancel(submit().id)

    assert due(stores) == (Delivery("job_1", 1),)


def test_a_job_that_took_down_its_workers_is_due(stores, submit, clock):
    job = submit()
    stores.jobs.claim(job.id, worker="w", lease_s=15)
    clock.advance(16)
    stores.jobs.requeue(job.id, max_attempts=1)

    assert due(stores) == (Delivery(job.id, 1),)


def test_a_job_without_a_url_is_never_due(stores, submit):
    stores.jobs.request_cancel(submit(url=None).id)

    assert due(stores) == ()


def test_an_attempt_belongs_to_one_until_its_lease_is_over(stores, submit, clock):
    stores.jobs.request_cancel(submit().id)
    first = due(stores)
    clock.advance(89)
    assert due(stores) == ()
    clock.advance(2)

    assert (first, due(stores)) == ((Delivery("job_1", 1),), (Delivery("job_1", 2),))


def test_whoever_lost_the_lease_settles_nothing(stores, submit, clock):
    stores.jobs.request_cancel(submit().id)
    (late,) = due(stores)
    clock.advance(91)
    (ours,) = due(stores)

    assert not stores.webhooks.close(late)
    assert not stores.webhooks.retry(late, after_s=0)
    assert due(stores) == ()
    assert stores.webhooks.close(ours)


def test_it_is_due_again_after_the_pause(stores, submit, clock):
    stores.jobs.request_cancel(submit().id)
    (first,) = due(stores)
    assert stores.webhooks.retry(first, after_s=30)
    clock.advance(29)
    assert due(stores) == ()
    clock.advance(1)

    assert due(stores) == (Delivery("job_1", 2),)


def test_what_is_closed_is_gone(stores, submit, clock):
    stores.jobs.request_cancel(submit().id)
    (first,) = due(stores)
    assert stores.webhooks.close(first)
    assert not stores.webhooks.close(first)
    clock.advance(10_000)

    assert due(stores) == ()


def test_no_more_are_claimed_than_asked_for_and_the_oldest_first(stores, submit, clock):
    for number in range(3):
        stores.jobs.request_cancel(submit(f"job_{number}").id)
        clock.advance(1)

    claimed = stores.webhooks.claim(lease_s=90, limit=2)

    assert [delivery.job_id for delivery in claimed] == ["job_0", "job_1"]
    assert [delivery.job_id for delivery in due(stores)] == ["job_2"]
