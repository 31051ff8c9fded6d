"""The images with the shipped docker-compose.yml and mini: started, spoken through, watched, stopped while they work.

Run by `make images`; the engine is the one that DOCKER_HOST names.  Every line printed was seen; the first that is not
as it should be ends the trial with exit status 1, and what the containers said.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from monitor.hearing import complaints, measure

ROOT = Path(__file__).resolve().parents[2]
API, EDGE, PROMETHEUS = "http://127.0.0.1:9000", "http://127.0.0.1:8080", "http://127.0.0.1:9091"
SPEECH = "/api/v1/tts/synthesize"
SENTENCE = "你好，世界。Hello, world."
MOST_API_MB = 250  # without its base
PATIENCE_S = 400.0
USER = "10001"
FILES = ("docker-compose.yml", "deploy", "checkpoints")
PROFILES = ("--profile", "cpu", "--profile", "monitoring")
SERVICES = ("megatts3", "worker-cpu", "redis", "redis-cache", "nginx", "prometheus")  # Grafana is not Debian's
Json = Any  # what JSON holds


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout.strip() if check else f"{done.stdout}{done.stderr}".strip()


def seen(what: str) -> None:
    print(f"ok    {what}", flush=True)


def eventually(condition: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.5)


def status_of(url: str) -> int:
    """0: no answer, or not in time."""
    try:
        return requests.get(url, timeout=10).status_code
    except requests.RequestException:
        return 0


class Installation:
    """A folder with what a host needs: the compose file, deploy/, weights.  Its containers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        cores = str(min(2, os.cpu_count() or 1))
        limits = {"WORKER_CPUS": cores, "API_CPUS": cores, "TORCH_THREADS": cores, "WORKERS": "2"}
        self.environment = {**os.environ, **limits, "MEGATTS3_BATCH_SIZE": "2"}

    def lay(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in FILES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.folder / name)
            else:
                shutil.copy(source, self.folder)

    def compose(self, *arguments: str, check: bool = True) -> str:
        command = [*shlex.split(os.environ.get("COMPOSE", "docker compose")), *PROFILES, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"compose {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service)

    def state(self, service: str) -> Json:
        return json.loads(docker("inspect", self.container(service)))[0]["State"]

    def inside(self, service: str, *command: str) -> str:
        return docker("exec", self.container(service), *command, check=False)

    def up(self, *services: str) -> None:
        self.compose("up", "--detach", "--no-build", *(services or SERVICES))

    def is_healthy(self, service: str) -> bool:
        health = self.state(service).get("Health")
        return health is None or health["Status"] == "healthy"


def check_images() -> None:
    about = {name: json.loads(docker("image", "inspect", name))[0] for name in ("megatts3-api", "megatts3-worker")}
    base = json.loads(docker("image", "inspect", "debian:bookworm-slim"))[0]["Size"]
    for name, image in about.items():
        config = image["Config"]
        assert config["User"].partition(":")[0] == USER, config["User"]
        assert config["Healthcheck"], name
        assert config["StopSignal"] == "SIGTERM", name
        seen(f"{name}: {(image['Size'] - base) / 1e6:.0f} MB without its base, user {USER}, health check, SIGTERM")
    assert (about["megatts3-api"]["Size"] - base) / 1e6 <= MOST_API_MB
    for name, module in (("megatts3-api", "torch"), ("megatts3-worker", "flask")):
        told = docker("run", "--rm", "--network", "none", name, "python", "-c", f"import {module}", check=False)
        assert "ModuleNotFoundError" in told, told
        seen(f"{name}: no {module}")


def check_start(here: Installation) -> None:
    began = time.monotonic()
    here.up()
    for service in SERVICES:
        eventually(lambda service=service: here.is_healthy(service), f"{service} is healthy")
    assert here.state("prepare")["ExitCode"] == 0
    seen(f"compose up: {', '.join(SERVICES)} healthy as Docker sees them, {time.monotonic() - began:.0f} s")


def check_speech() -> None:
    answer = requests.post(f"{EDGE}{SPEECH}", json={"text": SENTENCE, "voice_id": "voice_001"}, timeout=120)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "audio/wav"), answer.text[:500]
    found = complaints(measure(answer.content, characters=len(SENTENCE)))
    assert not found, found
    assert requests.post(f"{EDGE}{SPEECH}", json={"text": ""}, timeout=30).status_code == 422
    seen(
        f"a sentence through nginx, {answer.headers['X-Audio-Duration']} s of speech: {answer.headers['Server-Timing']}"
    )


def check_confinement(here: Installation) -> None:
    for service in ("megatts3", "worker-cpu"):
        assert here.inside(service, "id", "-u") == USER
        status = here.inside(service, "cat", "/proc/self/status")
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert "denied" in here.inside(service, "touch", "/app/anything")
        seen(f"{service}: user {USER}, no capabilities, no new privileges, cannot write to its own code")
    assert "Read-only file system" in here.inside("worker-cpu", "touch", "/app/checkpoints/anything")
    seen("worker-cpu: weights are read-only")


def check_trust() -> None:
    """The API's own port does not believe X-Forwarded-For: else everybody would have as many buckets as he likes."""
    left = []
    for n in range(3):
        answer = requests.post(
            f"{API}{SPEECH}", json={"text": ""}, headers={"X-Forwarded-For": f"9.9.9.{n}"}, timeout=30
        )
        left.append(int(answer.headers["RateLimit-Remaining"]))
    assert left[0] > left[2], left
    seen(f"who comes directly is not believed whom he says he stands for: {left} requests left")


def check_api_comes_back(here: Installation) -> None:
    """Under another address nginx would miss it: names are looked up once, when it starts."""
    here.compose("up", "--detach", "--no-build", "--force-recreate", "--no-deps", "megatts3")
    eventually(lambda: status_of(f"{EDGE}/health") == 200, "nginx finds the new API")
    seen("the API made anew: nginx finds it")


def check_prometheus() -> None:
    def up() -> dict[str, str]:
        found = requests.get(f"{PROMETHEUS}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    eventually(lambda: up() == {"megatts3-api": "up", "megatts3-worker": "up"}, f"both targets: {up()}")
    rules = requests.get(f"{PROMETHEUS}/api/v1/rules", timeout=10).json()["data"]["groups"]
    states = {rule["name"]: (rule["health"], rule["state"]) for group in rules for rule in group["rules"]}
    assert {health for health, _ in states.values()} <= {"ok", "unknown"}, states
    seen(f"Prometheus finds API and worker by the shipped configuration, {len(states)} alerts loaded")


def check_stop_of_api(here: Installation) -> None:
    """SIGTERM while a sentence is spoken: it is answered, then the container ends with 0."""
    got: list[requests.Response] = []
    body = {"text": "One more sentence, spoken while the door closes.", "cache": False}
    asking = threading.Thread(target=lambda: got.append(requests.post(f"{API}{SPEECH}", json=body, timeout=170)))
    asking.start()
    eventually(lambda: requests.get(f"{API}/health", timeout=10).json()["running_jobs"], "the sentence is spoken", 30)
    here.compose("stop", "megatts3")
    asking.join()
    assert got[0].status_code == 200, got[0].text
    assert here.state("megatts3")["ExitCode"] == 0, here.state("megatts3")
    seen("docker stop of the API in the middle of a request: answered with 200, exit status 0")
    here.up()
    eventually(lambda: status_of(f"{API}/health") == 200, "the API is back")


def check_stop_of_worker(here: Installation) -> None:
    """SIGTERM in the middle of a long job: it is handed back, and spoken once a worker is there again."""
    text = " ".join(f"This is sentence number {n} of a longer text, which takes its time." for n in range(30))
    job = requests.post(f"{API}/api/v1/jobs", json={"text": text, "cache": False, "time_step": 64}, timeout=30).json()
    look = f"{API}/api/v1/jobs/{job['id']}"
    eventually(lambda: requests.get(look, timeout=10).json()["status"] == "running", "the job runs", 60)
    began = time.monotonic()
    here.compose("stop", "worker-cpu")
    took_s = time.monotonic() - began
    assert here.state("worker-cpu")["ExitCode"] == 0, here.state("worker-cpu")
    assert requests.get(look, timeout=10).json()["status"] in {"queued", "running"}
    here.up()
    eventually(lambda: requests.get(look, timeout=10).json()["status"] not in {"queued", "running"}, "the job ends")
    assert requests.get(look, timeout=10).json()["status"] == "done"
    seen(f"docker stop of the worker in the middle of a job: exit status 0 after {took_s:.0f} s, spoken by the next")


def check_all_in_one(here: Installation) -> None:
    """One container for everything, as an operator's own compose file may start it."""
    if not docker("image", "ls", "--quiet", "megatts3"):
        return
    folder = here.folder / "one"
    variables = {"API_PORT": "9000", "WORKERS": "2", "LOG_LEVEL": "INFO"}
    variables |= {"MODEL_CACHE_DIR": "/app/storage/cache", "VOICE_STORAGE_DIR": "/app/storage/voices"}
    options = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    for name in ("storage", "logs"):
        (folder / name).mkdir(parents=True)  # root's: the container has to make them its user's
        options += ["--volume", f"{folder / name}:/app/{name}"]
    options += ["--volume", f"{here.folder}/checkpoints:/app/checkpoints:ro", "--publish", "9000:9000"]
    container = docker("run", "--detach", *options, "megatts3")
    try:
        eventually(lambda: status_of(f"{API}/health") == 200, "one container is ready")
        answer = requests.post(f"{API}{SPEECH}", json={"text": SENTENCE, "voice_id": "voice_001"}, timeout=120)
        assert answer.status_code == 200, answer.text
        look = 'for p in /proc/[0-9]*; do grep -q "[g]unicorn\\|[c]elery" $p/cmdline && grep ^Uid $p/status; done; true'
        users = {line.split()[1] for line in docker("exec", container, "sh", "-c", look).splitlines()}
        assert users == {USER}, users
        assert (folder / "logs/megatts3.log").stat().st_uid == int(USER)
        docker("stop", "--time", "200", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
    finally:
        docker("rm", "--force", container)
    seen(f"megatts3, all in one: ready, speaks, its processes are user {USER}, stops with exit status 0")


def main(folder: Path) -> int:
    here = Installation(folder)
    try:
        here.lay()
        here.compose("down", "--volumes", check=False)
        check_images()
        check_start(here)
        check_speech()
        check_confinement(here)
        check_trust()
        check_prometheus()
        check_api_comes_back(here)
        check_stop_of_api(here)
        check_stop_of_worker(here)
        here.compose("down", "--volumes", check=False)
        check_all_in_one(here)
    except (AssertionError, requests.RequestException) as error:
        print(f"WRONG {error}", flush=True)
        print(here.compose("logs", "--tail", "40", check=False)[-8000:], flush=True)
        return 1
    finally:
        here.compose("down", "--volumes", "--timeout", "30", check=False)
    print("all is as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
