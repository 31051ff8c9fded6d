"""One real service for all tests here: API, Redis and worker as processes, started by the launcher.

The checkpoint is tiny and random: what it says is noise, that it is said, stored and answered is the point.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from live_service import READY_WITHIN_S, ROOT, Service, clip, eventually

from cli.ports import free_port
from scripts.make_tiny_checkpoint import make_tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with two voices."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    make_tiny_checkpoint(folder)
    voices = folder / "voices"
    voices.mkdir(exist_ok=True)
    (voices / "a.wav").write_bytes(clip(200.0))
    (voices / "b.wav").write_bytes(clip(300.0))
    entries = [
        {"id": "default", "name": "Anna", "clip": "a.wav", "language": "en"},
        {"id": "voice_001", "name": "小明", "clip": "b.wav", "language": "zh"},
    ]
    (voices / "voices.yaml").write_text(yaml.safe_dump({"voices": entries}, allow_unicode=True))
    return folder


@pytest.fixture(scope="session")
def service(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`megatts3 up`, ready.  Leases are short, so that a killed worker is missed soon."""
    folder = tmp_path_factory.mktemp("service")
    port, ready_file = free_port(), folder / "ready.json"
    (folder / "api_config.yaml").write_text("api: {rate_limit: {enabled: false}}\n")
    (folder / "model_config.yaml").write_text("{}\n")
    environment = {k: v for k, v in os.environ.items() if "REDIS_URL" not in k and "MEGATTS3" not in k}
    environment |= {
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_CHECKPOINT_PATH": str(checkpoint),
        "MEGATTS3_METRICS_PORT": "0",
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_TORCH_THREADS": "1",
        "MEGATTS3_JOBS_LEASE_S": "3",
        "MEGATTS3_JOBS_HEARTBEAT_S": "0.3",
        "MEGATTS3_JOBS_SWEEP_S": "0.5",
        "MEGATTS3_JOBS_WORKER_TTL_S": "3",
        "OMP_NUM_THREADS": "1",
    }
    options = ["--config", str(folder / "api_config.yaml"), "--model-config", str(folder / "model_config.yaml")]
    options += ["--port", str(port), "--workers", "1", "--ready-file", str(ready_file)]
    log = folder / "launcher.log"
    with log.open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, str(ROOT / "api_server.py"), *options],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Service(f"http://127.0.0.1:{port}", launcher, log, folder / "storage", environment)
    try:
        eventually(lambda: ready_file.exists() or launcher.poll() is not None, READY_WITHIN_S)
        assert launcher.poll() is None, log.read_text()
        running.facts = json.loads(ready_file.read_text())
        yield running
    finally:
        if launcher.poll() is None:
            launcher.send_signal(signal.SIGTERM)
            launcher.wait(90)
