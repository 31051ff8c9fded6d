"""Hosts whose clocks differ agree on deadlines and on who is alive."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from contract.redis_keys import RedisKeys
from contract.schemas import WorkerState
from contract.stores.connection import connect, connect_briefly
from contract.stores.redis_workers import RedisWorkerRegistry
from contract.stores.shared_clock import ASK_AGAIN_S, SharedClock

FIVE_MINUTES = 300.0


def worker() -> WorkerState:
    return WorkerState(name="w", pid=1, host="h", device="cpu", precision="fp32", ready=True)


@pytest.mark.redis
@pytest.mark.parametrize("off_s", [-FIVE_MINUTES, 0.0, FIVE_MINUTES])
def test_a_host_whose_clock_is_off_reads_the_servers_time(redis_settings, off_s):
    clock = SharedClock(connect(redis_settings.redis), host=lambda: time.time() + off_s)
    assert clock() == pytest.approx(time.time(), abs=2.0)


@pytest.mark.redis
def test_a_worker_on_a_host_five_minutes_behind_is_alive_to_all(redis_settings):
    redis = connect(redis_settings.redis)

    def registry(off_s: float) -> RedisWorkerRegistry:
        clock = SharedClock(redis, host=lambda: time.time() + off_s)
        return RedisWorkerRegistry(redis, RedisKeys(), clock=clock)

    registry(-FIVE_MINUTES).heartbeat(worker(), ttl_s=15)

    assert [found.name for found in registry(FIVE_MINUTES).list()] == ["w"]


@pytest.mark.redis
def test_the_server_is_asked_once_a_minute_and_its_absence_changes_nothing(own_redis, settings):
    now = [0.0]
    redis = connect_briefly(replace(settings.redis, url=own_redis.url))
    clock = SharedClock(redis, host=lambda: time.time() - FIVE_MINUTES, monotonic=lambda: now[0])
    assert clock() == pytest.approx(time.time(), abs=2.0)
    own_redis.stop()
    now[0] += ASK_AGAIN_S + 1
    assert clock() == pytest.approx(time.time(), abs=4.0)


def test_before_redis_was_ever_there_the_hosts_own_clock_has_to_do(settings):
    away = replace(settings.redis, url="redis://127.0.0.1:1", connect_timeout_s=0.2)
    assert SharedClock(connect_briefly(away), host=lambda: 5.0)() == 5.0
