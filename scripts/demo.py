"""Start the whole service, speak the instructions' own requests over HTTP, check the sound, stop everything.

    python scripts/demo.py [--port N] [--out demo]

Leaves demo/*.wav, demo/summary.json and demo/summary.md.  Exit status 0 only if every request really worked: the
audio is there, finite, audible, as long as the plan said, and the repeated text came from the cache.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import requests
import soundfile

from cli.ports import free_port, is_free
from contract.settings import load_settings

USUAL_PORT = 9000
READY_WITHIN_S = 900.0
STOPPED_WITHIN_S = 120.0
ANSWER_WITHIN_S = 170.0
AUDIBLE_RMS = 1e-3  # -60 dBFS
LONGEST_MISS = 0.30  # of the plan's prediction

CHINESE = "你好，这是MegaTTS3语音合成测试。"
ENGLISH = "Hello there. This sentence was spoken by a small server on a plain computer."
CLONE = "你好世界"
LONGER = "第一句话说中文。The second one is in English. 最后一句，再见！"


class DemoError(Exception):
    """A request did not do what it should."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    text: str
    file: str
    audio_s: float
    predicted_s: float | None
    answer_s: float
    rtf: float | None
    cache: str
    rms: float


def main() -> int:
    arguments = parse_arguments()
    out: Path = arguments.out
    clear(out)
    port = arguments.port or (USUAL_PORT if is_free("0.0.0.0", USUAL_PORT) else free_port())  # noqa: S104
    try:
        with running_service(port, out / "run") as facts:
            rows = list(speak(str(facts["url"]), out))
        require_gone(facts["pids"])
    except (DemoError, requests.RequestException) as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    write_summary(out, rows, facts)
    shutil.rmtree(out / "run" / "storage", ignore_errors=True)
    print(f"\ndemo: all {len(rows)} requests worked; listen to {out}/*.wav")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, help=f"default: {USUAL_PORT}, or a free one when that is taken")
    parser.add_argument("--out", type=Path, default=Path("demo"))
    return parser.parse_args()


def clear(out: Path) -> None:
    """Remove what an earlier run left, and nothing else."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out / "run", ignore_errors=True)
    for file in (*out.glob("*.wav"), out / "summary.json", out / "summary.md"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def running_service(port: int, folder: Path) -> Iterator[dict[str, Any]]:
    """`megatts3 up` with a storage of its own, so that nothing is cached from an earlier run."""
    ready_file = folder / "ready.json"
    environment = {k: v for k, v in os.environ.items() if not k.endswith("REDIS_URL")}
    environment |= {
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_METRICS_PORT": "0",
    }
    tethered = [sys.executable, "-m", "cli.tether", str(os.getpid()), "--"]  # ends with us, however we end
    up = [sys.executable, "-m", "cli.main", "up", "--port", str(port), "--ready-file", str(ready_file)]
    launcher = subprocess.Popen([*tethered, *up], env=environment)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not ready_file.exists():
            if launcher.poll() is not None:
                raise DemoError(f"the service did not start (exit status {launcher.returncode})")
            if time.monotonic() > deadline:
                raise DemoError(f"the service was not ready after {READY_WITHIN_S:g} s")
            time.sleep(0.2)
        yield json.loads(ready_file.read_text(encoding="utf-8"))
    finally:
        stop(launcher)


def stop(launcher: subprocess.Popen[bytes]) -> None:
    """Orderly if possible.  The launcher's death alone ends its children, too."""
    if launcher.poll() is None:
        launcher.send_signal(signal.SIGTERM)
    try:
        launcher.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def speak(url: str, out: Path) -> Iterator[Row]:
    """The requests, one after the other."""
    session = requests.Session()
    body = {
        "text": CHINESE,
        "voice_id": "voice_001",
        "parameters": {"speed": 1.0, "pitch": 1.0, "emotion": "neutral"},
    }
    first = synthesize(session, url, body)
    yield checked("chinese", CHINESE, first, session, url, out)
    english = synthesize(session, url, {"text": ENGLISH, "voice_id": "default"})
    yield checked("english", ENGLISH, english, session, url, out)
    yield checked("clone", CLONE, clone(session, url), session, url, out)
    yield speak_job(session, url, out)
    again = synthesize(session, url, body)
    row = checked("again", CHINESE, again, session, url, out)
    if row.cache != "hit" or again.content != first.content:
        raise DemoError("the repeated text did not come from the cache")
    yield row


def synthesize(session: requests.Session, url: str, body: dict[str, Any]) -> requests.Response:
    return session.post(f"{url}/api/v1/tts/synthesize", json=body, timeout=ANSWER_WITHIN_S)


def clone(session: requests.Session, url: str) -> requests.Response:
    """A recording is uploaded with the text; one of the checkpoint's own clips will do."""
    voices = load_settings().model.locate() / "voices"
    clips = sorted(path for path in voices.glob("*") if path.suffix in {".wav", ".flac"})
    if not clips:
        raise DemoError("the checkpoint has no voice clips to upload")
    with clips[0].open("rb") as clip:
        return session.post(
            f"{url}/api/v1/tts/synthesize_file",
            data={"text": CLONE, "speed": "1.0"},
            files={"voice_file": clip},
            timeout=ANSWER_WITHIN_S,
        )


def speak_job(session: requests.Session, url: str, out: Path) -> Row:
    """Submit, poll to the end, fetch."""
    began = time.monotonic()
    accepted = session.post(f"{url}/api/v1/jobs", json={"text": LONGER, "voice_id": "voice_001"}, timeout=30)
    require(accepted, 202)
    job = accepted.json()
    job_url = f"{url}/api/v1/jobs/{job['id']}"
    while job["status"] in {"queued", "running"}:
        if time.monotonic() - began > ANSWER_WITHIN_S:
            raise DemoError(f"the job is still {job['status']} after {ANSWER_WITHIN_S:g} s")
        job = session.get(job_url, params={"wait": "10"}, timeout=60).json()
    if job["status"] != "done":
        raise DemoError(f"the job ended {job['status']}: {job.get('error')}")
    answer_s = time.monotonic() - began
    audio = session.get(f"{job_url}/audio", timeout=30)
    require(audio, 200)
    return measured("job", LONGER, audio.content, out, answer_s=answer_s, job=job, cache=str(job["cache"]))


def checked(name: str, text: str, response: requests.Response, session: requests.Session, url: str, out: Path) -> Row:
    """A sync answer as a row; looks its job up for what the plan predicted."""
    require(response, 200)
    job_id, cache = response.headers.get("X-Job-ID"), response.headers.get("X-Cache", "?")
    job: dict[str, Any] | None = None
    if job_id and cache == "miss":
        found = session.get(f"{url}/api/v1/jobs/{job_id}", timeout=30)
        require(found, 200)
        job = found.json()
    elapsed_s = response.elapsed.total_seconds()
    return measured(name, text, response.content, out, answer_s=elapsed_s, job=job, cache=cache)


def measured(
    name: str, text: str, data: bytes, out: Path, *, answer_s: float, job: dict[str, Any] | None, cache: str
) -> Row:
    """Write the WAV and look at it.  Raises DemoError where it is no speech-like sound of the right length."""
    file = out / f"{name}.wav"
    file.write_bytes(data)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float64")
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise DemoError(f"{file}: empty, or not finite")
    rms = float(np.sqrt(np.mean(samples**2)))
    if rms < AUDIBLE_RMS:
        raise DemoError(f"{file}: silent (RMS {rms:.2g})")
    audio_s = len(samples) / rate
    predicted_s = None if job is None else job.get("predicted_s")
    if job is not None and predicted_s is None:
        raise DemoError(f"{name}: the job's record does not say what the plan predicted")
    if predicted_s is not None and abs(audio_s - predicted_s) > LONGEST_MISS * predicted_s:
        raise DemoError(f"{file}: {audio_s:.2f} s long, the plan said {predicted_s:.2f} s")
    row = Row(
        name=name,
        text=text,
        file=str(file),
        audio_s=round(audio_s, 3),
        predicted_s=predicted_s,
        answer_s=round(answer_s, 3),
        rtf=None if job is None else job.get("rtf"),
        cache=cache,
        rms=round(rms, 4),
    )
    print("demo:", as_line(row), flush=True)
    return row


def require(response: requests.Response, status: int) -> None:
    if response.status_code != status:
        raise DemoError(f"{response.request.method} {response.url}: {response.status_code} {response.text[:500]}")


def require_gone(pids: dict[str, int]) -> None:
    """No process of the service may be left."""
    left = {name: pid for name, pid in pids.items() if Path(f"/proc/{pid}").exists()}
    if left:
        raise DemoError(f"processes are left behind: {left}")


HEADINGS = ("request", "text", "audio s", "answer s", "RTF", "cache")


def cells(row: Row) -> tuple[str, ...]:
    rtf = "-" if row.rtf is None else f"{row.rtf:.2f}"
    return (row.name, row.text, f"{row.audio_s:.2f}", f"{row.answer_s:.2f}", rtf, row.cache)


def as_line(row: Row) -> str:
    name, text, audio_s, answer_s, rtf, cache = cells(row)
    return f"{name:8} {audio_s:>6} s of audio in {answer_s:>6} s  RTF {rtf:>5}  cache {cache:4}  {text}"


def write_summary(out: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    """The table on the screen, as Markdown and as JSON."""
    table = [HEADINGS, tuple("---" for _ in HEADINGS), *(cells(row) for row in rows)]
    markdown = "\n".join("| " + " | ".join(line) + " |" for line in table)
    (out / "summary.md").write_text(markdown + "\n", encoding="utf-8")
    summary = {"devices": facts.get("devices"), "requests": [asdict(row) for row in rows]}
    (out / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print("\n" + markdown)


if __name__ == "__main__":
    sys.exit(main())
