"""The running service as a client and an operator see it, and what the tests here share."""

import io
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
import soundfile

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 120.0


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
