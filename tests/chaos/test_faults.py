"""What a killed worker held, as the recovery is measured by: jobs and segments, until they are another claim's or over."""

import pytest
import redis

from contract.redis_keys import RedisKeys
from contract.schemas import Job, Priority, SpeechRequest
from contract.stores.opening import open_stores
from contract.stores.segments import WantedSegment
from scripts.chaos.faults import Faults


class Looked:
    """As much of a stage as is looked at."""

    keys = RedisKeys()

    def __init__(self, url: str) -> None:
        self._url = url

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._url, decode_responses=True)


@pytest.mark.redis
def test_jobs_and_segments_count_until_somebody_else_has_them(redis_settings, clock):
    stores, stage = open_stores(redis_settings, clock=clock), Looked(redis_settings.redis.url)
    job = stores.jobs.create(Job(id="job_1", request=SpeechRequest(text="x"))).job
    stores.jobs.claim(job.id, worker="worker0@here", lease_s=10)
    stores.segments.want(job.id, Priority.BATCH, [WantedSegment("a", 0), WantedSegment("b", 1)])
    first = stores.segments.claim(worker="worker0@here", lease_s=10)
    stores.segments.claim(worker="worker1@here", lease_s=10)

    held = Faults.held_by(stage, "worker0")

    of_job, of_segment = stage.keys.job(job.id), stage.keys.segment("a")
    assert held == {of_job: "1", of_segment: str(first.token)}
    assert not any(Faults.has_moved(stage, *each) for each in held.items())
    clock.advance(11)
    stores.segments.recover()
    stores.jobs.requeue(job.id)
    assert not any(Faults.has_moved(stage, *each) for each in held.items()), "nobody has them yet"
    stores.segments.claim_suspect(worker="worker1@here", lease_s=10)
    assert Faults.has_moved(stage, of_segment, held[of_segment])
    stores.jobs.claim(job.id, worker="worker1@here", lease_s=10)
    assert Faults.has_moved(stage, of_job, held[of_job])
