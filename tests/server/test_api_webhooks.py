"""`webhook_url` of a job: taken where it can be sent, refused by name where it cannot."""

import dataclasses

import pytest

from contract.settings import WebhookSettings

JOBS = "/api/v1/jobs"
SET_UP = WebhookSettings(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture
def with_webhooks(settings, build):
    return build(dataclasses.replace(settings, webhooks=SET_UP))


def refusal(service, url: str) -> tuple[str, str]:
    answer = service.client.post(JOBS, json={"text": "hi", "webhook_url": url})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "webhook_url"
    return answer.json["errors"][0]["message"]


def test_without_a_secret_it_is_refused_and_the_setting_named(service):
    assert "webhooks.secret" in refusal(service, "https://example.org/hook")


def test_a_url_nobody_may_call_is_refused(with_webhooks):
    assert "public address" in refusal(with_webhooks, "http://169.254.169.254/latest")
    assert "public address" in refusal(with_webhooks, "http://[::ffff:10.0.0.1]/")
    assert "http or https" in refusal(with_webhooks, "https://user:pw@example.org/")


def test_a_job_with_one_is_told_of_when_it_ends(with_webhooks):
    url = "https://example.org/hook"
    job_id = with_webhooks.client.post(JOBS, json={"text": "hi", "webhook_url": url}).json["id"]
    assert with_webhooks.client.get(f"{JOBS}/{job_id}?wait=10").json["status"] == "done"

    (due,) = with_webhooks.stores.webhooks.claim(lease_s=1, limit=10)
    assert (due.job_id, with_webhooks.stores.jobs.get(job_id).webhook_url) == (job_id, url)


def test_an_equal_job_under_way_is_not_joined_for_its_own_caller_waits_to_be_told(with_webhooks):
    with_webhooks.worker.hold = True
    body = {"text": "hi", "seed": 1}
    plain = with_webhooks.client.post(JOBS, json=body).json["id"]
    told = with_webhooks.client.post(JOBS, json={**body, "webhook_url": "https://example.org/hook"}).json["id"]
    again = with_webhooks.client.post(JOBS, json={**body, "webhook_url": "https://example.org/other"}).json["id"]
    with_webhooks.worker.let_go.set()

    assert len({plain, told, again}) == 3
