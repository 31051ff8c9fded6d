"""The service on stage: Redis with an append-only file, workers, gunicorn, all real, all in one folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis

from cli.embedded_redis import embedded_redis, server_binary
from cli.obituaries import Obituaries
from cli.ports import free_port
from cli.processes import ServiceSpec
from cli.services import GUNICORN_CONFIG, PROJECT, WORKER_STOP_S
from cli.supervisor import Supervisor
from contract.redis_keys import RedisKeys
from contract.settings import load_settings
from contract.stores.opening import open_stores
from scripts.chaos.nursery import Nursery

READY_WITHIN_S = 180.0
TICK_S = 0.05
API_STOP_S = 30.0  # at the very end nobody waits for long any more
DISK_BYTES = 256 * 2**20  # more than a run leaves: the disk is full when a fault fills it, and only then


@dataclass(frozen=True)
class Cast:
    """Who is on stage, and how fast they are.  `settings`: further MEGATTS3_ variables, without the prefix."""

    workers: int = 3
    api_processes: int = 2
    pace: str = "4,0.02,8"
    worker_app: str = "scripts.chaos.worker_app"
    checkpoint: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class Stage:
    """Everything runs on the thread that calls `run`; the pids may be asked for from any."""

    def __init__(self, folder: Path, cast: Cast) -> None:
        self.folder, self.cast = folder, cast
        self.port, self.redis_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}"
        self.spoken_log = folder / "spoken.log"
        self.disk = folder / "disk"
        self.log = folder / "launcher.log"
        self.keys = RedisKeys()
        self.also: Callable[[], object] | None = None  # done with each tick, on its thread
        self.nursery = Nursery(born_here=lambda spec: spec.name.startswith("worker") and cast.checkpoint is None)
        self.disk.mkdir(parents=True, exist_ok=True)
        settings = load_settings(environ=self.environment)
        self.supervisor = Supervisor(
            self._services(),
            clock=time.monotonic,
            say=self._say,
            start_child=self.nursery.start,
            ended=Obituaries(open_stores(settings), settings.storage.temp_dir).note,
        )
        self.supervisor.was_ready = True  # what ends is started again, however often

    def _say(self, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    @property
    def environment(self) -> dict[str, str]:
        missing = self.folder / "none.yaml"
        missing.touch()
        given = {
            "REDIS_URL": self.redis_url,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WORKERS": str(self.cast.api_processes),
            "STORAGE_DIR": str(self.disk),
            "LOG_DIR": str(self.folder / "logs"),
            "RATE_LIMIT_ENABLED": "false",
            "METRICS_PORT": "0",
            "MONITORING_CANARY_INTERVAL": "0",
            "STORAGE_MIN_FREE": "8MB",
            "API_CONFIG": str(missing),
            "MODEL_CONFIG": str(missing),
            "CHECKPOINT_PATH": str(self.cast.checkpoint or self._no_checkpoint()),
            **self.cast.settings,
        }
        ours = {f"MEGATTS3_{name}": value for name, value in given.items()}
        return {
            **ours,
            "CHAOS_PACE": self.cast.pace,
            "CHAOS_SPOKEN": str(self.spoken_log),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(PROJECT),
        }

    def _no_checkpoint(self) -> Path:
        """The coded engine reads none; the default one would bring voices of its own."""
        folder = self.folder / "no-checkpoint"
        folder.mkdir(exist_ok=True)
        return folder

    def _services(self) -> tuple[ServiceSpec, ...]:
        logs, environment = self.folder / "logs", self.environment
        services = [
            embedded_redis(
                server_binary(), port=self.redis_port, data_dir=self.folder / "redis", log_path=logs / "redis.log"
            )
        ]
        services += [self.worker_spec(f"worker{n}", environment) for n in range(self.cast.workers)]
        argv = (sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONFIG), "megatts3_server.wsgi:app")
        services.append(
            ServiceSpec(
                *("api", argv, logs / "api.log", API_STOP_S),
                env=environment,
                cwd=PROJECT,
                renews=True,
                renew_signal=signal.SIGHUP,
            )
        )
        return tuple(services)

    def worker_spec(self, name: str, environment: Mapping[str, str]) -> ServiceSpec:
        argv = (
            *(sys.executable, "-m", "celery", "-A", self.cast.worker_app, "worker"),
            *("--pool", "threads", "--concurrency", "16", "--hostname", f"{name}@%h", "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle"),
        )
        log = self.folder / "logs" / f"{name}.log"
        return ServiceSpec(name, argv, log, WORKER_STOP_S, env=environment, cwd=PROJECT, holds_jobs=True, renews=True)

    def start(self) -> None:
        """Start everything and wait until every worker is ready."""
        self.supervisor.start()
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.all_ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready after {READY_WITHIN_S:g} s; see {self.folder}/logs")
            self.supervisor.tick()
            time.sleep(TICK_S)

    def run(self, until: threading.Event) -> None:
        """Keep everything alive until the event."""
        while not until.wait(TICK_S):
            self.supervisor.tick()
            if (also := self.also) is not None:
                also()

    def perform(self, act: Callable[[], object], *, name: str) -> None:
        """Start, do it on a thread of its own while this one keeps everything alive, and stop.  Blocks."""
        over = threading.Event()

        def run() -> None:
            try:
                act()
            finally:
                over.set()

        thread = threading.Thread(target=run, name=name)
        try:
            self.start()
            thread.start()
            self.run(over)
            thread.join()
        finally:
            self.stop()

    def stop(self) -> None:
        self.supervisor.stop()
        self.nursery.close()

    def ready_workers(self) -> int:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=3) as answer:  # noqa: S310 - our own http URL
                return int(json.load(answer)["workers"]["ready"])
        except (urllib.error.URLError, OSError, ValueError, KeyError):
            return 0

    def all_ready(self) -> bool:
        return self.ready_workers() == self.cast.workers

    def redis(self) -> "redis.Redis":
        return redis.Redis(port=self.redis_port, decode_responses=True, socket_timeout=3, socket_connect_timeout=3)

    def api_children(self) -> list[int]:
        """Gunicorn's own processes."""
        master = self.supervisor.pids().get("api")
        return [] if master is None else children_of(master)

    def pids(self) -> dict[str, int]:
        """Every process by a name: redis, worker0 …, api, api.0 …"""
        return self.supervisor.pids() | {f"api.{n}": pid for n, pid in enumerate(self.api_children())}


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return sorted(found)


@contextlib.contextmanager
def small_disk(at: Path, *, size_bytes: int = DISK_BYTES) -> Iterator[bool]:
    """A file system of its own, which a test may fill.  False where we may not mount one."""
    at.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(at)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(at)], capture_output=True, check=False)


def eventually(condition: Callable[[], object], within_s: float, *, every_s: float = TICK_S) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(every_s)
    return bool(condition())
