"""The launcher tells that a worker ended: of workers alone, and again until the store hears it."""

import os
import socket
from dataclasses import replace

import pytest

from cli.obituaries import Obituaries
from cli.processes import ServiceSpec
from contract.schemas import Job, SpeechRequest
from contract.stores.memory import memory_stores
from contract.stores.opening import open_stores

WORKER = f"worker0@{socket.gethostname()}"


def spec(tmp_path, name: str, *, holds_jobs: bool) -> ServiceSpec:
    return ServiceSpec(name, ("true",), tmp_path / "log", 1.0, holds_jobs=holds_jobs)


def claimed(stores) -> str:
    job = stores.jobs.create(Job(id="job_1", request=SpeechRequest(text="x"))).job
    assert stores.jobs.claim(job.id, worker=WORKER, lease_s=600) is not None
    return job.id


def test_what_a_worker_held_is_to_be_had_at_once_and_others_hold_nothing(settings, clock, tmp_path, wait):
    stores = memory_stores(settings, clock=clock)
    job_id = claimed(stores)
    told = Obituaries(stores, tmp_path)
    told.note(spec(tmp_path, "worker0", holds_jobs=False), os.getpid())
    told.note(spec(tmp_path, "worker1", holds_jobs=True), os.getpid())
    told.note(spec(tmp_path, "worker0", holds_jobs=True), os.getpid() + 1)
    told.note(spec(tmp_path, "worker0", holds_jobs=True), os.getpid())
    wait(lambda: stores.jobs.expired(buried_only=True) == (job_id,), "the worker's job is to be had")


@pytest.mark.redis
def test_a_store_that_is_away_is_told_when_it_is_back(own_redis, settings, tmp_path, wait):
    own_redis.stop()
    own_redis.options = ("--appendonly", "yes")
    own_redis.start()
    stores = open_stores(replace(settings, redis=replace(settings.redis, url=own_redis.url)))
    job_id = claimed(stores)
    own_redis.stop()
    Obituaries(stores, tmp_path).note(spec(tmp_path, "worker0", holds_jobs=True), os.getpid())
    own_redis.start()
    wait(lambda: stores.jobs.expired(buried_only=True) == (job_id,), "the worker's job is to be had")
