"""What the service costs around the engine: `make bench-service`.

One request in flight, through API, Redis, Celery and a worker whose engine speaks at once, beside Celery's own bare
round trip on the same Redis; then answers from the cache beside a file of the same sound from the same server: noise,
which the cache keeps as it is; recorded speech, which it keeps compressed; and 150 pieces of speech in turn, which are
more than a process of the API remembers.  The two of a pair take turns, so what else the machine does meets both.
Writes build/bench_service.json and a table; with --check it fails above the ratios that are promised.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cli.embedded_redis import embedded_redis, server_binary
from cli.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `scripts` is found here as in the processes that are started

from scripts import api_process  # noqa: E402

START_WITHIN_S = 120.0
MOST = {"overhead": 3.0, "noise": 2.0, "speech": 2.0, "speech of long ago": 2.0}  # of p50 beside the yardstick's
VOICE = "bench"
TEXT = "The quick brown fox jumps over the lazy dog while it rains"  # of the tests' engine: 2.9 s
SPEECH = "speech:"  # so begins a text that the engine answers with recorded speech, any other with noise
MANY = 150  # texts of as much speech, asked for in turn: more than a process of the API holds itself
PARTS = "scripts.bench_service_parts"
Once = Callable[[int], None]


class Api:
    """One connection, kept open, as a client that cares would."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str) -> bytes:
        return self._answer("GET", path, None)

    def speak(self, text: str, **fields: object) -> bytes:
        body = json.dumps({"text": text, "voice_id": VOICE, **fields})
        return self._answer("POST", "/api/v1/tts/synthesize", body)

    def _answer(self, method: str, path: str, body: str | None) -> bytes:
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("build/bench_service.json"))
    parser.add_argument("--check", action="store_true", help="fail above the promised ratios")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as (api, bare):
        pairs = {
            "overhead": take_turns(
                {"request": lambda n: _heard(api.speak(f"{TEXT} {n}", cache=False)), "Celery": bare},
                rounds=chosen.rounds,
                warm_up=chosen.warm_up,
            ),
        }
        prepare(api, Path(folder))  # only now: what it writes would slow down the disk for those above
        pairs |= {
            name: take_turns(
                {
                    f"{name}, from the cache": lambda n, texts=texts: _heard(api.speak(texts[n % len(texts)])),
                    f"{name}, a file": lambda _, path=path: _heard(api.get(path)),
                },
                rounds=chosen.rounds,
                warm_up=max(chosen.warm_up, len(texts)),
            )
            for name, texts, path in hits()
        }
    found = {name: summary(pair) for name, pair in pairs.items()}
    write(found, chosen.out, rounds=chosen.rounds)
    too_slow = [name for name, most in MOST.items() if found[name]["ratio_p50"] > most]
    return int(chosen.check and bool(too_slow))


def hits() -> tuple[tuple[str, list[str], str], ...]:
    """What is asked for again and again: a name, the texts in turn, the address of a file of the same sound."""
    many = [f"{SPEECH} {TEXT} {n}" for n in range(MANY)]
    return (
        ("noise", [TEXT], "/bench/noise.wav"),
        ("speech", many[:1], "/bench/speech.wav"),
        ("speech of long ago", many, "/bench/speech.wav"),
    )


def prepare(api: Api, folder: Path) -> None:
    """Have each text in the cache, and lay down the files beside."""
    for _, texts, path in hits():
        sounds = [api.speak(text) for text in texts]
        (folder / path.rpartition("/")[2]).write_bytes(sounds[0])


def take_turns(pair: dict[str, Once], *, rounds: int, warm_up: int) -> dict[str, list[float]]:
    """Seconds of each call, by name; the one that goes first changes from round to round."""
    spent: dict[str, list[float]] = {name: [] for name in pair}
    for number in range(-warm_up, rounds):
        order = list(pair.items()) if number % 2 else list(pair.items())[::-1]
        for name, once in order:
            began = time.perf_counter()
            once(number)
            if number >= 0:
                spent[name].append(time.perf_counter() - began)
    return spent


def summary(pair: dict[str, list[float]]) -> dict[str, object]:
    """Milliseconds at p50 and p99 of both, and the ratio of the first to the second."""
    figures = {name: {"p50_ms": _ms(spent, 50), "p99_ms": _ms(spent, 99)} for name, spent in pair.items()}
    ours, yardstick = figures.values()
    return {
        **figures,
        "ratio_p50": round(ours["p50_ms"] / yardstick["p50_ms"], 2),
        "ratio_p99": round(ours["p99_ms"] / yardstick["p99_ms"], 2),
    }


def _ms(spent: list[float], percentile: int) -> float:
    return round(statistics.quantiles(spent, n=100)[percentile - 1] * 1000, 3)


def _heard(data: bytes) -> None:
    if len(data) < 100_000:
        raise RuntimeError(f"only {len(data)} bytes of audio")


def write(found: dict[str, dict[str, object]], out: Path, *, rounds: int) -> None:
    conditions = {
        "rounds": rounds,
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"conditions": conditions, **found}, indent=2) + "\n", encoding="utf-8")
    print(f"\n{', '.join(f'{name} {value}' for name, value in conditions.items())}\n")
    print("| | p50 ms | p99 ms |\n|---|---|---|")
    for name, pair in found.items():
        for each, figures in pair.items():
            if isinstance(figures, dict):
                print(f"| {each} | {figures['p50_ms']:.2f} | {figures['p99_ms']:.2f} |")
        promised = f"promised ≤ {MOST[name]:g} at p50"
        print(f"| ratio ({promised}) | **{pair['ratio_p50']}** | {pair['ratio_p99']} |")


@contextlib.contextmanager
def service(folder: Path) -> Iterator[tuple[Api, Once]]:
    """Redis, both workers and one API process, on a storage of their own; the API and the bare round trip."""
    redis_port, api_port = free_port(), free_port()
    environ = environment(folder, redis_port=redis_port, api_port=api_port)
    os.environ.update(environ)
    binary = server_binary()
    redis = embedded_redis(binary, port=redis_port, data_dir=folder / "redis", log_path=folder / "redis.log")
    celery = [sys.executable, "-m", "celery", "-A"]
    options = ["--pool", "threads", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    commands = {
        "redis": list(redis.argv),
        "bare": [*celery, f"{PARTS}:bare", "worker", *options, "--concurrency", "8", "-Q", "bare", "-n", "bare@%h"],
        "worker": [*celery, f"{PARTS}:ours", "worker", *options, "--concurrency", "8", "-n", "ours@%h"],
        "api": [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "configs" / "gunicorn.py"), f"{PARTS}:api()"],
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        with contextlib.ExitStack() as logs:
            for name, command in commands.items():
                log = logs.enter_context((folder / f"{name}.log").open("wb"))
                started.append(subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log))
            yield ready(api_port)
    except BaseException:
        for name in commands:
            sys.stderr.write((folder / f"{name}.log").read_text(errors="replace")[-2000:])
        raise
    finally:
        for process in reversed(started):
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Nothing in it is worth waiting for long."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


def environment(folder: Path, *, redis_port: int, api_port: int) -> dict[str, str]:
    return api_process.environment(folder, redis_port=redis_port, api_port=api_port) | {
        "MEGATTS3_BENCH_FILES": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }


def ready(api_port: int) -> tuple[Api, Once]:
    """Wait for everyone, register the voice and speak once."""
    from contract.schemas import Voice, VoiceStatus  # noqa: PLC0415
    from contract.settings import load_settings  # noqa: PLC0415
    from contract.stores.opening import open_stores  # noqa: PLC0415
    from scripts.bench_service_parts import nothing  # noqa: PLC0415 - reads the settings of this run

    def bare(number: int) -> None:
        if nothing.apply_async((str(number),)).get(timeout=30) != str(number):
            raise RuntimeError("another task's answer")

    deadline = time.monotonic() + START_WITHIN_S
    while not _is_healthy(api_port):
        if time.monotonic() > deadline:
            raise RuntimeError("the service did not become ready")
        time.sleep(0.2)
    stores = open_stores(load_settings())
    clip = "voices/bench/v1/clip"
    stores.blobs.put(clip, _clip())
    stores.voices.create(Voice(id=VOICE, name=VOICE, status=VoiceStatus.READY, clip_blob=clip, fingerprint="bench"))
    api = Api(api_port)
    api.speak(TEXT)
    bare(0)
    return api, bare


def _is_healthy(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False


def _clip() -> bytes:
    """Two seconds of a quiet tone: the engine hardly looks at it."""
    import io  # noqa: PLC0415
    import math  # noqa: PLC0415
    import struct  # noqa: PLC0415
    import wave  # noqa: PLC0415

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setparams((1, 2, 24_000, 0, "NONE", ""))
        tone = (int(6000 * math.sin(2 * math.pi * 220 * n / 24_000)) for n in range(48_000))
        out.writeframes(b"".join(struct.pack("<h", value) for value in tone))
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
