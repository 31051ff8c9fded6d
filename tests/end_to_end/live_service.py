"""The running service as a client and an operator see it, and what the tests here share."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
import soundfile

from cli.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 240.0  # a loaded machine takes minutes to load torch


def eventually(condition: Callable[[], object], within_s: float = 60.0) -> object:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError("the condition did not come true in time")


def clip(pitch_hz: float, seconds: float = 2.5) -> bytes:
    """Reference audio: a tone that swells, as a WAV file."""
    t = np.arange(int(24_000 * seconds)) / 24_000
    samples = 0.2 * np.sin(2 * np.pi * pitch_hz * t) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.float32), 24_000, format="WAV")
    return buffer.getvalue()


def samples_of(data: bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float64")
    assert rate == 24_000
    return samples


@dataclass
class Service:
    """The running service as a client and an operator see it."""

    url: str
    launcher: subprocess.Popen[bytes]
    log: Path
    storage: Path
    environment: dict[str, str]
    facts: dict[str, object] = field(default_factory=dict)

    def post(self, path: str, **options: object) -> requests.Response:
        return requests.post(f"{self.url}{path}", timeout=60, **options)

    def get(self, path: str, **options: object) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=60, **options)

    def synthesize(self, text: str, **fields: object) -> requests.Response:
        body = {"text": text, "voice_id": "default", "time_step": 4, **fields}
        return self.post("/api/v1/tts/synthesize", json=body)

    def job(self, job_id: str) -> dict[str, object]:
        return self.get(f"/api/v1/jobs/{job_id}").json()

    def is_ready(self) -> bool:
        return self.get("/health").status_code == 200

    def descendants(self) -> set[int]:
        """Every process below the launcher, itself included."""
        found = {self.launcher.pid}
        while True:
            more = {pid for pid, parent in parents_of_all().items() if parent in found and pid not in found}
            if not more:
                return found
            found |= more


def parents_of_all() -> dict[int, int]:
    """Process id → parent, of all that run (zombies do not)."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[int(stat.parent.name)] = int(parent)
    return found


@contextlib.contextmanager
def running(folder: Path, checkpoint: Path, options: Sequence[str], variables: Mapping[str, str]) -> Iterator[Service]:
    """The launcher with these options and variables, until the block ends.

    Leases are short, so that a killed worker is missed soon.
    """
    port, ready_file = free_port(), folder / "ready.json"
    (folder / "api_config.yaml").write_text("api: {rate_limit: {enabled: false}}\n")
    (folder / "model_config.yaml").write_text("{}\n")
    environment = {k: v for k, v in os.environ.items() if "REDIS_URL" not in k and "MEGATTS3" not in k}
    environment |= {
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_CHECKPOINT_PATH": str(checkpoint),
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_TORCH_THREADS": "1",
        "MEGATTS3_JOBS_LEASE_S": "3",
        "MEGATTS3_JOBS_HEARTBEAT_S": "0.3",
        "MEGATTS3_JOBS_SWEEP_S": "0.5",
        "MEGATTS3_JOBS_WORKER_TTL_S": "3",
        "OMP_NUM_THREADS": "1",
    } | dict(variables)
    options = ["--model-config", str(folder / "model_config.yaml"), *options]
    options += ["--config", str(folder / "api_config.yaml"), "--port", str(port), "--ready-file", str(ready_file)]
    log = folder / "launcher.log"
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, str(ROOT / "api_server.py"), *options],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started = Service(f"http://127.0.0.1:{port}", launcher, log, folder / "storage", environment)
    try:
        eventually(lambda: ready_file.exists() or launcher.poll() is not None, READY_WITHIN_S)
        assert launcher.poll() is None, log.read_text()
        started.facts = json.loads(ready_file.read_text())
        yield started
    finally:
        if launcher.poll() is None:
            launcher.send_signal(signal.SIGTERM)
            launcher.wait(90)
