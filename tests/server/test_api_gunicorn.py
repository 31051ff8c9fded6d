"""The API as it is really served: gunicorn with gevent, two processes, a real Redis, files on disk."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import requests
from api_service import WORKER, FakeWorker, free_port, until, voice_record, wav_bytes

from contract.queues import QueueName, broker_url
from contract.schemas import Job, JobStatus
from contract.settings import load_settings
from contract.stores.opening import open_stores

ROOT = Path(__file__).resolve().parents[2]
BODY = {"text": "你好，世界。", "voice_id": "default"}


@dataclass(frozen=True)
class Live:
    """A running API; `worker` is a stand-in that takes jobs from the store, not from Celery."""

    url: str
    redis_url: str
    worker: FakeWorker
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def live(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder, port = tmp_path_factory.mktemp("gunicorn"), free_port()
    environ = {
        **os.environ,
        "MEGATTS3_REDIS_URL": redis_url,
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_PORT": str(port),
        "MEGATTS3_WORKERS": "2",
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_RATE_LIMIT_ENABLED": "false",
        "MEGATTS3_API_CONFIG": str(empty(folder / "api.yaml")),
        "MEGATTS3_MODEL_CONFIG": str(empty(folder / "model.yaml")),
        "PYTHONWARNINGS": "error::UserWarning",
    }
    stores = open_stores(load_settings(environ=environ))
    for voice_id in ("default", "voice_001"):
        stores.voices.create(voice_record(voice_id), replace=True)
    stores.workers.heartbeat(WORKER, ttl_s=600)
    worker, stop = FakeWorker(stores), threading.Event()
    taking = threading.Thread(target=take_jobs, args=(worker, stop))
    taking.start()
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "configs" / "gunicorn.py")]
    log = (folder / "gunicorn.log").open("wb")
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(url), timeout_s=150)
        yield Live(url, redis_url, worker, process)
        process.terminate()
        assert process.wait(40) == 0, (folder / "gunicorn.log").read_text()
    finally:
        process.terminate()
        stop.set()
        taking.join(10)
        log.close()
    said = (folder / "gunicorn.log").read_text()
    assert "MonkeyPatchWarning" not in said
    assert "Traceback" not in said, said
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()


def empty(path: Path) -> Path:
    path.write_text("")
    return path


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def take_jobs(worker: FakeWorker, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        if worker.hold:
            continue
        for job in worker.stores.jobs.list(status=JobStatus.QUEUED).jobs:
            worker._speak(job.id)


@pytest.mark.redis
def test_speech_comes_and_then_comes_from_the_cache(live: Live):
    first = requests.post(f"{live.url}/api/v1/tts/synthesize", json=BODY, timeout=20)
    again = requests.post(f"{live.url}/api/v1/tts/synthesize", json=BODY, timeout=20)

    assert (first.status_code, first.content) == (200, wav_bytes(0.5))
    assert (first.headers["X-Cache"], again.headers["X-Cache"]) == ("miss", "hit")


@pytest.mark.redis
def test_health_and_errors(live: Live):
    assert requests.get(f"{live.url}/health", timeout=10).json()["status"] == "healthy"
    refused = requests.post(f"{live.url}/api/v1/tts/synthesize", json={"text": ""}, timeout=10)
    assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/problem+json")


@pytest.mark.redis
def test_a_hundred_requests_at_once_are_all_answered(live: Live):
    def speak(number: int) -> int:
        body = {"text": f"句子 {number % 20}", "cache": False}
        return requests.post(f"{live.url}/api/v1/tts/synthesize", json=body, timeout=60).status_code

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(speak, range(100))) == {200}


@pytest.mark.redis
def test_the_audio_of_a_job_comes_in_ranges_from_the_file(live: Live):
    job = requests.post(f"{live.url}/api/v1/jobs", json=BODY, timeout=10).json()
    while job["status"] not in {"done", "failed"}:
        job = requests.get(f"{live.url}{job['url']}?wait=10", timeout=20).json()

    answer = requests.get(live.url + job["audio_url"], headers={"Range": "bytes=4-9"}, timeout=10)

    assert (answer.status_code, answer.content) == (206, wav_bytes(0.5)[4:10])


@pytest.fixture
def held(live: Live) -> Iterator[FakeWorker]:
    """The worker takes nothing while the test runs."""
    live.worker.hold = True
    yield live.worker
    live.worker.hold = False


@pytest.mark.redis
def test_a_client_that_hangs_up_cancels_its_job(live: Live, held: FakeWorker):
    host, port = live.url.removeprefix("http://").split(":")
    body = b'{"text": "nobody will hear this"}'
    before = {job.id for job in held.stores.jobs.list().jobs}

    def mine() -> list[Job]:
        return [job for job in held.stores.jobs.list().jobs if job.id not in before]

    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /api/v1/tts/synthesize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        until(lambda: len(mine()) == 1)

    until(lambda: mine()[0].status is JobStatus.CANCELLED)


@pytest.mark.redis
def test_equal_requests_to_both_processes_are_computed_once(live: Live, held: FakeWorker):
    body = {"text": "once for all of us", "cache": False}

    def speak(_: int) -> requests.Response:
        return requests.post(f"{live.url}/api/v1/tts/synthesize", json=body, timeout=60)

    before = len(held.spoken)
    with ThreadPoolExecutor(8) as pool:
        pending = [pool.submit(speak, n) for n in range(8)]
        until(lambda: len(held.stores.jobs.list(status=JobStatus.QUEUED).jobs) == 8)
        held.hold = False
        answers = [answer.result(60) for answer in pending]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["X-Job-ID"] for answer in answers}) == 8
    assert len(held.spoken) == before + 1


@pytest.mark.redis
def test_two_hundred_long_polls_leave_the_api_free_to_answer(live: Live, held: FakeWorker):
    job = requests.post(f"{live.url}/api/v1/jobs", json={"text": "long-polled"}, timeout=10).json()

    def poll(_: int) -> str:
        answer = requests.get(f"{live.url}{job['url']}?wait=30", timeout=60)
        return str(answer.json()["status"])

    with ThreadPoolExecutor(200) as pool:
        pending = [pool.submit(poll, n) for n in range(200)]
        assert requests.get(f"{live.url}/health", timeout=10).status_code == 200
        held.hold = False
        statuses = {answer.result(60) for answer in pending}

    assert statuses <= {"running", "done"}


@pytest.mark.redis
def test_every_job_was_told_to_celery(live: Live, redis_url: str):
    requests.post(f"{live.url}/api/v1/tts/synthesize", json={"text": "one more"}, timeout=20)

    with redis.Redis.from_url(broker_url(redis_url)) as broker:
        queues = [key.decode() for key in broker.scan_iter(f"*{QueueName.INTERACTIVE.value}")]
        assert any(broker.type(queue) == b"list" and broker.llen(queue) > 0 for queue in queues)


@pytest.mark.redis
def test_an_upload_above_the_limit_gets_its_413_and_not_a_broken_pipe(live: Live):
    answer = requests.post(
        f"{live.url}/api/v1/tts/synthesize_file",
        files={"text": (None, "hi"), "voice_file": ("big.wav", bytes(60_000_000))},
        timeout=60,
    )

    assert (answer.status_code, answer.json()["error_code"]) == (413, "upload_too_large")


@pytest.mark.redis
def test_a_request_above_the_limit_gets_its_413(live: Live):
    answer = requests.post(
        f"{live.url}/api/v1/tts/synthesize_file",
        files={"text": (None, "hi"), "voice_file": ("big.wav", bytes(101_000_000))},
        timeout=60,
    )

    assert answer.status_code == 413


@pytest.mark.redis
@pytest.mark.slow
def test_a_reload_loses_no_request(live: Live):
    live.process.send_signal(signal.SIGHUP)
    statuses = [
        requests.post(f"{live.url}/api/v1/tts/synthesize", json=BODY, timeout=60).status_code for _ in range(10)
    ]

    assert set(statuses) == {200}
