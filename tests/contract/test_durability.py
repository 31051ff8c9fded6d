"""A job that was accepted is on disk: what each kind of server is asked for, and what a crash leaves."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from resp_proxy import LaterRedis

from cli.embedded_redis import embedded_redis
from contract.errors import ErrorCode, ServiceError
from contract.stores.connection import connect
from contract.stores.durability import Durability, Promise
from contract.stores.opening import open_stores

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
EACH_SECOND = ("--appendonly", "yes", "--appendfsync", "everysec")
KEEPS_NOTHING = ("--appendonly", "no")


def restarted(own_redis, *options: str):
    own_redis.stop()
    own_redis.options = options
    own_redis.start()
    return own_redis


def on(settings, url: str):
    return replace(settings, redis=replace(settings.redis, url=url))


@pytest.mark.redis
@pytest.mark.parametrize(
    ("options", "promise"),
    [(ALWAYS, Promise.ALWAYS), (EACH_SECOND, Promise.EACH_SECOND), (KEEPS_NOTHING, Promise.NEVER)],
)
def test_what_a_server_promises_is_found_out_and_a_weak_promise_is_told_once(
    own_redis, settings, options, promise, caplog
):
    redis = connect(on(settings, restarted(own_redis, *options).url).redis)
    durability = Durability(redis)
    with caplog.at_level(logging.WARNING):
        assert [durability.promise, durability.promise] == [promise] * 2
    told = [record for record in caplog.records if "accepted_jobs_may_be_lost" in record.getMessage()]
    assert len(told) == (promise is not Promise.ALWAYS)


@pytest.mark.redis
def test_an_accepted_job_outlives_a_crash_of_redis(own_redis, settings, new_job):
    """As the launcher starts it: the options are those of the built-in server."""
    spec = embedded_redis(own_redis._binary, port=1, data_dir=own_redis._folder, log_path=own_redis._folder / "log")
    policy = spec.argv[spec.argv.index("--appendonly") :]
    stores = open_stores(on(settings, restarted(own_redis, *policy[:4]).url))
    ids = [stores.jobs.create(new_job()).job.id for _ in range(20)]

    own_redis.kill()
    own_redis.start()

    assert [job_id for job_id in ids if stores.jobs.get(job_id) is None] == []
    assert stores.jobs.depth().queued_jobs == 20


@pytest.fixture
def later_redis(own_redis):
    restarted(own_redis, *EACH_SECOND)
    server = LaterRedis(own_redis.port)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.redis
def test_where_the_server_flushes_each_second_creation_waits_for_the_disk(later_redis, settings, new_job):
    stores = open_stores(on(settings, later_redis.url))

    job = stores.jobs.create(new_job()).job

    assert later_redis.waited == ["EVALSHA"], "asked once, on the connection of the write and right after it"
    assert stores.jobs.get(job.id) == job
    stores.jobs.claim(job.id, worker="w", lease_s=5)
    assert len(later_redis.waited) == 1, "only what was promised to a client is waited for"


@pytest.mark.redis
def test_a_disk_that_does_not_follow_is_no_acceptance(later_redis, settings, new_job):
    later_redis.flushed = 0
    with pytest.raises(ServiceError) as caught:
        open_stores(on(settings, later_redis.url)).jobs.create(new_job())
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
