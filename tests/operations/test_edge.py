"""Debian's nginx, with the configuration that ships, in front of two API processes.  `make edge`; NGINX_PROGRAM names it.

Not in `make test`: nginx is a package of the system's.  Without it this fails: it is not skipped.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from edge_worker import EdgeWorker, voice_record, worker_state

from cli.ports import free_port
from contract.settings import load_settings
from contract.stores.opening import open_stores

pytestmark = [pytest.mark.slow, pytest.mark.redis, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "nginx" / "nginx.conf"
NGINX = os.environ.get("NGINX_PROGRAM") or shutil.which("nginx") or "/usr/sbin/nginx"
SPEECH = "/api/v1/tts/synthesize"


@dataclass
class Edge:
    url: str
    apis: list[subprocess.Popen[bytes]]
    api_urls: list[str]
    nginx: subprocess.Popen[bytes]
    worker: EdgeWorker
    configuration: Path


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:  # not yet, or not in time
        return False


def eventually(condition, within_s: float = 150.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)


def configuration(folder: Path, port: int, api_ports: list[int]) -> Path:
    """The shipped file: only addresses and the places of its own files are others."""
    text = SHIPPED.read_text()
    servers = "\n        ".join(f"server 127.0.0.1:{p} max_fails=2 fail_timeout=5s;" for p in api_ports)
    for old, new in {
        "server megatts3:9000 max_fails=2 fail_timeout=5s;": servers,
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "error_log /dev/stderr warn;": f"error_log {folder}/error.log info;",
        "access_log /dev/stdout plain;": f"access_log {folder}/access.log plain;",
        "worker_processes auto;": "worker_processes 2; user root;" if os.getuid() == 0 else "worker_processes 2;",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "nginx.conf"
    path.write_text(text.replace("/tmp/nginx", f"{folder}/nginx"))
    return path


@pytest.fixture(scope="module")
def edge(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    for name in ("api.yaml", "model.yaml"):
        (folder / name).write_text("{}\n")
    environment = {
        **os.environ,
        "MEGATTS3_REDIS_URL": redis_url,
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_WORKERS": "1",
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_RATE_LIMIT_ENABLED": "false",
        "MEGATTS3_API_CONFIG": str(folder / "api.yaml"),
        "MEGATTS3_MODEL_CONFIG": str(folder / "model.yaml"),
    }
    stores = open_stores(load_settings(environ=environment))
    stores.voices.create(voice_record(), replace=True)
    stores.workers.heartbeat(worker_state(), ttl_s=900)
    worker = EdgeWorker(stores)
    worker.start()
    apis, urls, ports = [], [], []
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "configs" / "gunicorn.py")]
    with (folder / "api.log").open("wb") as log:
        for _ in range(2):
            ports.append(free_port())
            urls.append(f"http://127.0.0.1:{ports[-1]}")
            variables = environment | {"MEGATTS3_PORT": str(ports[-1])}
            apis.append(subprocess.Popen(command, env=variables, cwd=ROOT, stdout=log, stderr=log))
    port = free_port()
    path = configuration(folder, port, ports)
    subprocess.run([NGINX, "-t", "-p", str(folder), "-c", str(path)], check=True, capture_output=True)
    nginx = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(path), "-g", "daemon off;"])
    started = Edge(f"http://127.0.0.1:{port}", apis, urls, nginx, worker, path)
    try:
        eventually(lambda: all(answers(url) for url in urls) and answers(started.url))
        yield started
    finally:
        for process in [nginx, *apis]:
            process.terminate()
        for process in [nginx, *apis]:
            process.wait(60)
        worker.stop()


def test_speech_and_errors_come_through_as_the_api_says_them(edge: Edge):
    spoken = requests.post(f"{edge.url}{SPEECH}", json={"text": "hello", "cache": False}, timeout=30)
    refused = requests.post(f"{edge.url}{SPEECH}", json={"text": ""}, headers={"X-Request-ID": "e-1"}, timeout=30)

    assert (spoken.status_code, spoken.headers["Content-Type"]) == (200, "audio/wav")
    assert refused.json()["error_code"]
    assert refused.headers["X-Request-ID"] == "e-1"
    assert requests.post(f"{edge.url}/api/v1/nowhere/", allow_redirects=False, timeout=30).status_code == 404


def test_a_stream_is_not_held_back(edge: Edge):
    """The worker gives three pieces, a second apart; each arrives long before the last is made."""
    body = {"text": "a stream", "cache": False, "stream": True}
    began = time.monotonic()
    arrivals = []
    with requests.post(f"{edge.url}{SPEECH}", json=body, stream=True, timeout=30) as answer:
        assert answer.status_code == 200
        arrivals += [time.monotonic() - began for chunk in answer.iter_content(None) if len(chunk) > 44]

    assert len(arrivals) >= 3
    assert arrivals[-1] - arrivals[0] > 0.6


def test_an_upload_of_nearly_a_hundred_megabytes_arrives(edge: Edge):
    """The API says what it thinks of it (its own limit for a clip is 50 MB): the proxy has let it through."""
    answer = requests.post(
        f"{edge.url}/api/v1/tts/synthesize_file",
        files={"text": (None, "hi"), "voice_file": ("big.wav", bytes(99_000_000))},
        timeout=120,
    )

    assert (answer.status_code, answer.json()["error_code"]) == (413, "upload_too_large")
    assert "request_id" in answer.json()  # the API's own answer


def test_what_is_larger_than_the_proxy_takes_is_413_in_json(edge: Edge):
    answer = requests.post(f"{edge.url}/api/v1/tts/synthesize_file", data=b"x" * 106_000_000, timeout=120)

    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert answer.json()["error_code"] == "upload_too_large"


def test_long_polls_wait_through_the_proxy_and_leave_it_free(edge: Edge):
    edge.worker.hold()
    job = requests.post(f"{edge.url}/api/v1/jobs", json={"text": "later"}, timeout=30).json()

    def poll(_: int) -> tuple[str, float]:
        began = time.monotonic()
        answer = requests.get(f"{edge.url}{job['url']}?wait=30", timeout=60).json()
        return answer["status"], time.monotonic() - began

    with ThreadPoolExecutor(60) as pool:
        polls = [pool.submit(poll, n) for n in range(60)]
        time.sleep(1.5)
        assert requests.get(f"{edge.url}/health", timeout=5).status_code == 200
        edge.worker.release()
        found = [each.result(60) for each in polls]
    assert {status for status, _ in found} <= {"running", "done"}
    assert min(waited for _, waited in found) > 1.0


def test_both_apis_are_used(edge: Edge):
    """Its own log says which API answered each request: neither has all of them, whatever was asked before."""
    log = edge.configuration.parent / "access.log"
    before = len(log.read_text().splitlines())
    for _ in range(20):
        assert requests.get(f"{edge.url}/api/v1/voices", timeout=10).status_code == 200

    def lines() -> list[str]:
        return [line for line in log.read_text().splitlines()[before:] if "/api/v1/voices" in line]

    eventually(lambda: len(lines()) == 20, 10)
    to = Counter(re.search(r" to=(\S+) ", line)[1] for line in lines())
    assert set(to) == {url.removeprefix("http://") for url in edge.api_urls}
    assert min(to.values()) >= 5


def test_an_api_that_drains_loses_nothing(edge: Edge):
    """SIGTERM to one of two while requests come and a stream runs: the stream ends whole, nobody sees an error."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(requests.get(f"{edge.url}/api/v1/voices", timeout=30).status_code)

    def stream() -> int:
        body = {"text": "drain me", "cache": False, "stream": True}
        return len(requests.post(f"{edge.url}{SPEECH}", json=body, timeout=60).content)

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask) for _ in range(3)]
        streams = [pool.submit(stream) for _ in range(4)]
        time.sleep(0.4)
        edge.apis[0].send_signal(signal.SIGTERM)
        lengths = [each.result(60) for each in streams]
        assert edge.apis[0].wait(60) == 0
        time.sleep(1.0)
        stop.set()
        for each in asking:
            each.result(60)
    assert min(lengths) == max(lengths) > 1000
    assert len(statuses) > 10
    assert set(statuses) == {200}


def test_with_no_api_left_the_proxy_says_so_in_json(edge: Edge):
    for api in edge.apis:
        if api.poll() is None:
            api.terminate()
            api.wait(60)

    answer = requests.get(f"{edge.url}/api/v1/voices", timeout=30)

    assert (answer.status_code, answer.json()["error_code"]) == (503, "not_ready")
    assert answer.headers["Retry-After"] == "5"


def test_the_proxy_waits_longer_than_the_api_may_take():
    """Its own limits against the settings' defaults: a proxy that gives up first turns an answer into a 504."""
    seconds = {name: int(value) for name, value in re.findall(r"(proxy_\w+_timeout) (\d+)s", SHIPPED.read_text())}
    settings = load_settings(environ={})

    assert seconds["proxy_read_timeout"] > settings.api.timeout_s
    assert settings.api.max_request_bytes < 100 * 2**20
