"""The part of chaos with real weights: mini says the same things undisturbed and under kills, and must sound the same.

Two workers as they ship, with mini.  Each request has its seed and leaves the caches alone, so the second time
everything is rendered again, while one worker after the other is killed with work in its hands.
"""

import io
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests
import soundfile
from numpy.typing import NDArray

from cli.services import PROJECT
from scripts.chaos.faults import Faults
from scripts.chaos.stage import Cast, Stage, eventually

CHECKPOINT = PROJECT / "checkpoints" / "mini"
READY_WITHIN_S, SPOKEN_WITHIN_S = 120.0, 120.0
# mini's decoder carries rounding on in time (docs/adr/0005): 0.3 units of 16 bit in the mean was measured, 22 at most.
MEAN_UNITS, MOST_UNITS = 2.0, 200.0
TEXTS = (
    ("default", "The night train left before the rain began, and nobody on the platform saw it go."),
    ("voice_001", "今天的天气很好，我们一起去公园走走，然后再去喝一杯茶。"),
    (
        "voice_003",  # several segments, which the workers share
        (
            "He counted forty-seven boats in the harbour before the fog came in and covered them one by one. "
            "Nobody spoke for an hour, since there was nothing that any of them wanted to hear. "
            "Then a bell rang twice on the far side of the water, and the old man put on his coat. "
            "By the time the others had found the lantern, he was already halfway down to the boats."
        ),
    ),
    ("voice_002", "老陈说，这条路修了三年，现在终于通车了，大家都很高兴。"),
)


@dataclass(frozen=True)
class Difference:
    """One request's sound under kills against its sound before, in units of 16 bit."""

    voice: str
    seconds: float
    mean_units: float
    most_units: float


@dataclass
class MiniReport:
    """Recovery in seconds; `wrong` has a sentence for each request that was lost, failed, or did not sound the same."""

    spoken: int = 0
    segments: int = 0
    kills: int = 0
    held_at_kills: int = 0
    recovery_s: list[float] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.wrong and self.spoken > 0 and self.held_at_kills > 0


def run(folder: Path, *, rounds: int = 2, kills: int = 2) -> MiniReport:
    """Start, speak, speak again under kills, compare, stop.  Blocks."""
    settings = {"TORCH_THREADS": "1", "BATCH_SIZE": "4"}
    cast = Cast(workers=2, api_processes=1, worker_app="worker.app", checkpoint=CHECKPOINT, settings=settings)
    stage, found = Stage(folder, cast), MiniReport()
    stage.perform(lambda: _speak_twice(stage, found, rounds=rounds, kills=kills), name="mini")
    return found


def _speak_twice(stage: Stage, found: MiniReport, *, rounds: int, kills: int) -> None:
    bodies = [
        {"text": text, "voice_id": voice, "seed": 100 * n + round_, "time_step": 8, "cache": False}
        for round_ in range(rounds)
        for n, (voice, text) in enumerate(TEXTS)
    ]
    before = [_audio(stage, job_id) for job_id in [_submit(stage, body) for body in bodies]]
    jobs, over = [_submit(stage, body) for body in bodies], threading.Event()
    killer = threading.Thread(target=_kill, args=(stage, found, kills, over), name="killer")
    killer.start()
    after = [_audio(stage, job_id) for job_id in jobs]
    over.set()
    killer.join()
    found.spoken = len(jobs)
    for body, job_id, first, second in zip(bodies, jobs, before, after, strict=True):
        said = f"{job_id} in {body['voice_id']}"
        if isinstance(first, str) or isinstance(second, str):
            found.wrong.append(f"{said}: {first if isinstance(first, str) else second}")
            continue
        found.segments += second[1]
        found.wrong += compared(found, said, str(body["voice_id"]), first[0], second[0])


def compared(
    found: MiniReport, said: str, voice: str, first: NDArray[np.int16], second: NDArray[np.int16]
) -> list[str]:
    if len(first) != len(second) or len(first) == 0:
        return [f"{said}: {len(first)} samples before, {len(second)} under kills"]
    difference = second.astype(float) - first
    mean, most = float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max())
    found.differences.append(Difference(voice, round(len(first) / 24_000, 2), round(mean, 3), most))
    return (
        [f"{said}: differs by {mean:.1f} units, {most:.0f} at most"] if mean > MEAN_UNITS or most > MOST_UNITS else []
    )


def _kill(stage: Stage, found: MiniReport, kills: int, over: threading.Event) -> None:
    """Each worker in turn; the next once the former is back.  over: everything is spoken."""
    for n in range(kills):
        _kill_one(stage, found, f"worker{n % stage.cast.workers}", over)


def _kill_one(stage: Stage, found: MiniReport, name: str, over: threading.Event) -> None:
    """As soon as it holds something, and no suspect: who is killed while it runs alone is blamed, as it must be."""
    held: dict[str, str] = {}

    def holds() -> bool:
        found = Faults.held_by(stage, name)
        with stage.redis() as client:
            attempts = [int(client.hget(record, "attempts") or 0) for record in found]
        if max(attempts, default=2) > 1:
            return False
        held.update(found)
        return True

    def is_back() -> bool:
        return stage.supervisor.pids().get(name) not in {None, pid} and stage.all_ready()

    pid = stage.supervisor.pids().get(name)
    if pid is None or not eventually(lambda: over.is_set() or holds(), SPOKEN_WITHIN_S) or not held:
        return
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    found.kills += 1
    found.held_at_kills += len(held)
    if eventually(lambda: all(Faults.has_moved(stage, *each) for each in held.items()), SPOKEN_WITHIN_S):
        found.recovery_s.append(round(time.monotonic() - began, 2))
    eventually(lambda: over.is_set() or is_back(), READY_WITHIN_S)


def _submit(stage: Stage, body: dict[str, object]) -> str:
    answer = requests.post(f"{stage.url}/api/v1/jobs", json=body, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["id"])


def _audio(stage: Stage, job_id: str) -> tuple[NDArray[np.int16], int] | str:
    """Samples and count of segments once the job is done, or what became of it."""
    deadline, status = time.monotonic() + SPOKEN_WITHIN_S, "open"
    while time.monotonic() < deadline:
        job = requests.get(f"{stage.url}/api/v1/jobs/{job_id}?wait=10", timeout=30).json()
        status = str(job.get("status"))
        if status == "done":
            data = requests.get(f"{stage.url}/api/v1/jobs/{job_id}/audio", timeout=30).content
            return soundfile.read(io.BytesIO(data), dtype="int16")[0], int(job["progress"]["segments_total"] or 1)
        if status in {"failed", "cancelled"}:
            return f"{status} {job.get('error_code')}"
    return f"still {status} after {SPOKEN_WITHIN_S:g} s"
