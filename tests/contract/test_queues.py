"""Celery between API and worker, over a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from contract.errors import ErrorCode, ServiceError
from contract.queues import QueueName, TaskName, broker_url, make_celery, send

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:6379", "redis://h:6379/1"),
        ("redis://h:6379/", "redis://h:6379/1"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("rediss://:p@h:6380/4?ssl_cert_reqs=none", "rediss://:p@h:6380/4?ssl_cert_reqs=none"),
    ],
)
def test_celery_has_a_database_of_its_own_unless_one_is_named(url, expected):
    assert broker_url(url) == expected


@pytest.mark.redis
def test_a_message_carries_an_id_the_request_id_and_nothing_else(redis_settings):
    app = make_celery(redis_settings)
    send(app, TaskName.SYNTHESIZE, "job_1", queue=QueueName.BATCH, request_id="req-1")
    with redis.Redis.from_url(broker_url(redis_settings.redis.url)) as client:
        keys = {key.decode() for key in client.scan_iter()}
        message = json.loads(client.lindex("megatts3:celery:batch", 0))
    assert all(key.startswith("megatts3:celery:") for key in keys)
    assert message["headers"]["task"] == "megatts3.synthesize"
    assert message["headers"]["megatts3_request_id"] == "req-1"
    assert message["content-type"] == "application/json"
    with redis.Redis.from_url(redis_settings.redis.url) as client:
        assert client.keys() == [], "our own database is not touched"
    app.close()


def test_with_the_broker_away_sending_says_so_soon(settings):
    away = replace(settings.redis, url="redis://127.0.0.1:1", connect_timeout_s=0.2)
    app = make_celery(replace(settings, redis=away))
    with pytest.raises(ServiceError) as caught:
        send(app, TaskName.SWEEP)
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
    app.close()


WORKER = """
import sys
from contract.queues import TaskName, make_celery
from contract.settings import load_settings
from contract.telemetry import request_id_of

app = make_celery(load_settings(environ={"REDIS_URL": sys.argv[1]}))

@app.task(name=TaskName.SYNTHESIZE.value, bind=True)
def synthesize(self, job_id):
    print("spoke", job_id, request_id_of(self.request), flush=True)

app.worker_main(["worker", "--pool", "threads", "--concurrency", "1", "--loglevel", "ERROR", "--without-gossip",
                 "--without-mingle"])
"""


@pytest.mark.redis
def test_a_worker_takes_interactive_work_first_and_survives_a_restart_of_redis(own_redis, settings, wait, tmp_path):
    used = replace(settings.redis, url=own_redis.url)
    app = make_celery(replace(settings, redis=used))
    for n in range(3):
        send(app, TaskName.SYNTHESIZE, f"batch{n}", queue=QueueName.BATCH)
    for n in range(3):
        send(app, TaskName.SYNTHESIZE, f"now{n}", request_id=f"req{n}")
    told = tmp_path / "told"
    with told.open("wb") as out:
        command = [sys.executable, "-c", textwrap.dedent(WORKER), own_redis.url]
        worker = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)

    def spoken():
        lines = [line.split() for line in told.read_text().splitlines()]
        return [line[1:] for line in lines if line[:1] == ["spoke"]]

    try:
        wait(lambda: len(spoken()) == 6 or worker.poll() is not None, "all six are spoken", deadline_s=60)
        assert [job for job, _ in spoken()] == ["now0", "now1", "now2", "batch0", "batch1", "batch2"]
        assert dict(spoken())["now1"] == "req1"
        own_redis.stop()
        own_redis.start()
        send(app, TaskName.SYNTHESIZE, "later")
        wait(lambda: ["later", "None"] in spoken(), "the worker is back", deadline_s=60)
    finally:
        worker.terminate()
        worker.wait(30)
        app.close()
