"""Throw requests that no one meant at the API, and see that it stays an API.

    python scripts/fuzz.py [--requests 20000] [--seed 1] [--clients 6] [--schemathesis]

gunicorn and Redis as in production, a stand-in for the worker that answers at once.  Two sorts of requests: made
from the OpenAPI document (right, wrong and extreme values, as JSON, form, multipart), and multipart bodies broken on
purpose.  Exit status 0 only if there was no 5xx but 503 and 504, no silence, no error but JSON, no status that the
document does not name, and at most 10 % more memory than after the first tenth.  `--schemathesis` runs that tool, too.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "server")]

from api_service import WORKER, FakeWorker, npy_bytes, until, voice_record, wav_bytes  # noqa: E402

from cli.embedded_redis import server_binary  # noqa: E402
from cli.ports import free_port  # noqa: E402
from contract.schemas import JobStatus, VoiceStatus  # noqa: E402
from contract.settings import load_settings  # noqa: E402
from contract.stores.interfaces import Stores  # noqa: E402
from contract.stores.opening import open_stores  # noqa: E402

ANSWER_WITHIN_S = 30.0
GROWTH_MAX = 0.10
GROWTH_TOLD_FROM = 2000  # requests; in a shorter run the first tenth is no warm-up
BY_DESIGN = {503, 504}
WORDS = (
    *("", " ", "a", "你好，世界。", "None", "null", "32.0", "-1", "1e999", "NaN", "true", "../../etc/passwd"),
    *(
        "\x00",
        "'\";--",
        "\ud7ff\ue000",
        "🙂" * 50,
        "x" * 5000,
        "%00",
        "{}",
        "[]",
        "default",
        "voice_001",
        "fuzz",
        "happy",
    ),
)
NUMBERS: tuple[object, ...] = (0, -1, 1, 2**63, -(2**63), 10**400, 0.1, 1e308)
VALUES: tuple[object, ...] = (*WORDS, *NUMBERS, None, True, False, [], {}, [[]], {"a": {}})
OPTIONS = (
    *("Accept", "Prefer", "Range", "If-None-Match", "Accept-Language", "Idempotency-Key", "X-Request-ID"),
    *("Authorization", "Content-Encoding", "Origin", "X-Forwarded-For"),
)
OPTION_VALUES = (
    *("application/json", "audio/wav;q=0.1, */*", "respond-async", "wait=0", "wait=1", "bytes=0-3", "bytes=99999-"),
    *("bytes=-0", "bytes=a-b", "*", "zh;q=2, en", "zh-CN", "", "a" * 300, "Bearer x", "gzip", "\xe9\xff", "null"),
)
BODY_TYPES = ("application/json", "application/json", "text/plain", "application/x-www-form-urlencoded", "image/png")
PART_TYPES = ("audio/wav", "text/plain; charset=utf-16", "application/json", "x", "multipart/mixed")
FILE_NAMES = ("a.wav", "", "参考.wav", "../a", 'q"q', "%2e%2e")
CLIPS = (
    *(wav_bytes(0.3), b"fLaC" + bytes(200), b"ID3" + bytes(50), b"\0\0\0\x20ftypM4A "),
    *(b"RIFF", b"", bytes(2000)),
)
LATENTS = (
    *(npy_bytes(), npy_bytes((3, 31)), npy_bytes(value=float("nan"))),
    *(b"\x93NUMPY\x01\x00\xff\xff{", b"\x80\x04."),
)


@dataclass
class Tally:
    """What came back; changed by the clients under its lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def note(self, status: int, spent_s: float, failure: str | None) -> None:
        with self.lock:
            self.statuses[status] += 1
            self.slowest_s = max(self.slowest_s, spent_s)
            if failure is not None and len(self.failures) < 200:
                self.failures.append(failure)


@dataclass(frozen=True)
class Shot:
    """One request."""

    method: str
    path: str
    template: str | None  # of the document; None: no address of ours
    body: bytes
    headers: dict[str, str]


class Maker:
    """Requests from the document; one per client, with its own randomness."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        self._document, self._random = document, random.Random(seed)
        self._operations = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict) and "responses" in operation
        ]

    def shot(self) -> Shot:
        pick = self._random
        method, template, operation = pick.choice(self._operations)
        if pick.random() < 0.02:
            template = None  # type: ignore[assignment]
        path = self._path(template or f"/{quote(pick.choice(WORDS), safe='')}/{pick.randrange(9)}")
        if operation.get("parameters") and pick.random() < 0.6:
            names = [p["name"] for p in operation["parameters"] if p.get("in") == "query"] or ["x"]
            path += "?" + "&".join(f"{n}={quote(str(pick.choice((*WORDS, 1, 0)))[:300])}" for n in names)
            path = path.replace("wait=1", "wait=0")
        headers = {n: pick.choice(OPTION_VALUES) for n in OPTIONS if pick.random() < 0.08}
        if pick.random() < 0.05:
            method = pick.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FUZZ"))
            template = None  # what a wrong method answers is in no operation
        body = b""
        if "requestBody" in operation:
            body, headers["Content-Type"] = self._body(operation["requestBody"]["content"])
        return Shot(method, path, template, body, headers)

    def _path(self, template: str) -> str:
        pick, path = self._random, template
        while "{" in path:
            before, _, rest = path.partition("{")
            path = (
                before
                + quote(pick.choice((*WORDS[3:], "job_1", "voice_1", "a" * 200)), safe="")
                + rest.partition("}")[2]
            )
        return path

    def _body(self, content: dict[str, Any]) -> tuple[bytes, str]:
        pick = self._random
        kind = pick.choice(list(content))
        fields = self._fields(content[kind]["schema"])
        way = pick.random()
        if way < 0.35 or (kind != "multipart/form-data" and way < 0.7):
            data = json.dumps(fields).encode()
            if pick.random() < 0.15:
                data = self._broken(data)
            return data, pick.choice(BODY_TYPES)
        if way < 0.45:
            pairs = "&".join(
                f"{quote(str(n), errors='replace')}={quote(str(v), errors='replace')}" for n, v in fields.items()
            )
            return pairs.encode(), "application/x-www-form-urlencoded"
        return self._multipart(fields)

    def _fields(self, schema: dict[str, Any]) -> dict[str, Any]:
        pick = self._random
        if "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        found: dict[str, Any] = {}
        for name, about in schema.get("properties", {}).items():
            if name in {"text", "input", "voice_id"} and pick.random() < 0.8:
                found[name] = (
                    "你好。" if name in {"text", "input"} else pick.choice(("default", f"fuzz{pick.randrange(20)}"))
                )
            elif pick.random() < 0.25:
                found[name] = self._value(about)
        if pick.random() < 0.2:
            found["parameters"] = {str(pick.choice(WORDS)): pick.choice(VALUES)}
        if pick.random() < 0.1:
            found[str(pick.choice(WORDS))] = pick.choice(VALUES)
        return found

    def _value(self, about: dict[str, Any]) -> object:
        pick = self._random
        if pick.random() < 0.5:
            return pick.choice(VALUES)
        if "enum" in about:
            return pick.choice(about["enum"])
        low, high = about.get("minimum"), about.get("maximum")
        if low is not None and high is not None:
            return pick.choice((low, high, low - 1, high + 1, (low + high) / 2, str(low), str(high)))
        return "x" * pick.choice((1, 10, about.get("maxLength", 100), about.get("maxLength", 100) + 1))

    def _multipart(self, fields: dict[str, Any]) -> tuple[bytes, str]:
        pick = self._random
        boundary = pick.choice(("b", "----WebKitFormBoundaryx", "a" * 70, "x'y"))
        parts = []
        for name, value in fields.items():
            data = value if isinstance(value, str) else json.dumps(value)
            parts.append(self._part(str(name), data.encode("utf-8", "replace"), None))
        for name, kinds in (("voice_file", CLIPS), ("voice_latent", LATENTS)):
            for _ in range(pick.choice((0, 1, 1, 1, 2))):
                parts.append(self._part(name, pick.choice(kinds), pick.choice(FILE_NAMES)))
        pick.shuffle(parts)
        mark = b"--" + boundary.encode() + b"\r\n"
        body = b"".join(mark + part for part in parts) + b"--" + boundary.encode() + b"--\r\n"
        if pick.random() < 0.3:
            body = self._broken(body)
        said = pick.choice(
            (f"boundary={boundary}",) * 8 + (f'boundary="{boundary}"', "boundary=", "", "boundary=other")
        )
        return body, f"multipart/form-data; {said}"

    def _part(self, name: str, data: bytes, filename: str | None) -> bytes:
        pick = self._random
        line = f'Content-Disposition: form-data; name="{name[:300]}"'
        if filename is not None:
            line += pick.choice((f'; filename="{filename}"', f"; filename*=utf-8''{quote(filename)}", ""))
        if pick.random() < 0.4:
            line += "\r\nContent-Type: " + pick.choice(PART_TYPES)
        if pick.random() < 0.05:
            line = pick.choice(
                ("", "Content-Disposition: form-data", "Content-Disposition", "X" * 3000 + ": y", line + "\r\n" + line)
            )
        return line.encode("utf-8", "replace") + b"\r\n\r\n" + data + b"\r\n"

    def _broken(self, data: bytes) -> bytes:
        pick, at = self._random, self._random.randrange(len(data) + 1)
        return pick.choice(
            (
                data[:at],
                data[at:],
                data[:at] + bytes([pick.randrange(256)]) + data[at:],
                data[:at] + bytes(pick.randrange(256) for _ in range(20)) + data[at + 20 :],
                data.replace(b"\r\n", b"\n"),
                data + data,
                b"[" * 2000 + data,
            )
        )


def judge(shot: Shot, status: int, content_type: str, body: bytes, document: dict[str, Any]) -> str | None:
    """What is wrong with an answer; None: nothing."""
    if status >= 500 and status not in BY_DESIGN:
        return f"{status} {shot.method} {shot.path[:80]}: {body[:200]!r} for {shot.body[:300]!r} {shot.headers}"
    if 300 <= status < 400 and status != 304:
        return f"redirect {status} {shot.method} {shot.path}"
    if status >= 400 and shot.method != "HEAD" and "json" not in content_type:
        return f"{status} as {content_type!r} {shot.method} {shot.path} {shot.headers}"
    if shot.template is not None and shot.method not in {"HEAD", "OPTIONS"}:
        told = document["paths"][shot.template][shot.method.lower()]["responses"]
        if str(status) not in told and status != 404:  # a name that is empty or has a slash is another address
            return f"{status} is not documented for {shot.method} {shot.template}: {body[:200]!r}"
    return None


def fire(address: str, document: dict[str, Any], *, count: int, seed: int, tally: Tally) -> None:
    """One client: `count` requests over connections that are kept while they can be."""
    maker = Maker(document, seed)
    connection = http.client.HTTPConnection(address, timeout=ANSWER_WITHIN_S)
    for _ in range(count):
        shot, began = maker.shot(), time.monotonic()
        try:
            connection.request(
                shot.method,
                shot.path,
                shot.body,
                {n: v.encode("latin-1", "replace").decode("latin-1") for n, v in shot.headers.items()},
            )
            answer = connection.getresponse()
            body = answer.read()
            failure = judge(shot, answer.status, answer.getheader("Content-Type", ""), body, document)
            status = answer.status
        except TimeoutError:
            status, failure = 0, f"no answer in {ANSWER_WITHIN_S:.0f} s: {shot.method} {shot.path} {shot.body[:300]!r}"
            connection.close()
        except (http.client.HTTPException, OSError) as error:
            status, failure = (
                -1,
                f"{type(error).__name__}: {shot.method} {shot.path} {shot.headers} {shot.body[:300]!r}",
            )
            connection.close()
        tally.note(status, time.monotonic() - began, failure)
    connection.close()


def serve_jobs(worker: FakeWorker, stop: threading.Event) -> None:
    """The stand-in for the worker: speaks and prepares at once."""
    while not stop.wait(0.01):
        for job in worker.stores.jobs.list(status=JobStatus.QUEUED).jobs:
            worker._speak(job.id)
        for voice in worker.stores.voices.list():
            if voice.status is VoiceStatus.PREPARING:
                worker._prepare(voice.id)


def resident_kib(pid: int) -> int:
    """Of a process and all below it."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(lines["Pid"]) == pid or int(lines["PPid"]) == pid:
            total += int(lines.get("VmRSS", "0 kB").split()[0])
    return total


@dataclass(frozen=True)
class Target:
    address: str
    pid: int
    log: Path
    stores: Stores


@contextmanager
def service(folder: Path, processes: int) -> Iterator[Target]:
    redis_port, port, log = free_port(), free_port(), folder / "gunicorn.log"
    command = [
        str(server_binary()),
        "--port",
        str(redis_port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for name in ("api.yaml", "model.yaml"):
        (folder / name).write_text("")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MEGATTS3_")},
        "MEGATTS3_REDIS_URL": f"redis://127.0.0.1:{redis_port}",
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_PORT": str(port),
        "MEGATTS3_WORKERS": str(processes),
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_RATE_LIMIT_ENABLED": "false",
        "MEGATTS3_SYNC_WAIT": "20",
        "MEGATTS3_API_CONFIG": str(folder / "api.yaml"),
        "MEGATTS3_MODEL_CONFIG": str(folder / "model.yaml"),
    }
    with log.open("wb") as output:
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "configs" / "gunicorn.py")]
        process = subprocess.Popen(gunicorn, env=environ, cwd=ROOT, stdout=output, stderr=output)
    try:
        stores = open_stores(load_settings(environ=environ))
        until(lambda: up(f"127.0.0.1:{port}"), timeout_s=120)
        for voice_id in ("default", "voice_001"):
            stores.voices.create(voice_record(voice_id), replace=True)
        stores.workers.heartbeat(WORKER, ttl_s=100_000)
        yield Target(f"127.0.0.1:{port}", process.pid, log, stores)
    finally:
        for each in (process, redis):
            each.terminate()
            each.wait(60)


def up(address: str) -> bool:
    try:
        return ask(address, "/health/live")[0] == 200
    except OSError:
        return False


def ask(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def volley(target: Target, document: dict[str, Any], *, count: int, clients: int, seed: int, tally: Tally) -> None:
    share = -(-count // clients)
    threads = [
        threading.Thread(
            target=fire, args=(target.address, document), kwargs={"count": share, "seed": seed + n, "tally": tally}
        )
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_schemathesis(address: str) -> int:
    program = shutil.which("schemathesis") or shutil.which("st")
    if program is None:
        print("schemathesis is not installed here: skipped")
        return 1
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    argv = [program, "run", f"http://{address}/openapi.json", "--checks", checks, "--max-examples", "50", "--no-color"]
    return subprocess.run([*argv, "--request-timeout", "30"], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schemathesis", action="store_true")
    options = parser.parse_args()
    tally, stop = Tally(), threading.Event()
    with tempfile.TemporaryDirectory() as name, service(Path(name), options.processes) as target:
        worker = threading.Thread(target=serve_jobs, args=(FakeWorker(target.stores), stop), daemon=True)
        worker.start()
        document = json.loads(ask(target.address, "/openapi.json")[1])
        warm, began = max(options.requests // 10, 1), time.monotonic()
        volley(target, document, count=warm, clients=options.clients, seed=options.seed, tally=tally)
        before = resident_kib(target.pid)
        rest = max(options.requests - warm, 0)
        volley(target, document, count=rest, clients=options.clients, seed=options.seed + 1000, tally=tally)
        after, spent_s = resident_kib(target.pid), time.monotonic() - began
        found_by_tool = run_schemathesis(target.address) if options.schemathesis else 0
        alive = ask(target.address, "/health")[0]
        stop.set()
        worker.join(30)
        tracebacks = target.log.read_text(errors="replace").count("Traceback")
    growth = after / before - 1
    print(f"{sum(tally.statuses.values())} requests in {spent_s:.0f} s, slowest {tally.slowest_s:.2f} s")
    print("statuses: " + ", ".join(f"{status}: {count}" for status, count in sorted(tally.statuses.items())))
    print(f"resident memory {before} KiB after the first tenth, {after} KiB at the end: {growth:+.1%}")
    print(f"health afterwards {alive}; tracebacks in gunicorn's log {tracebacks}; failures {len(tally.failures)}")
    for failure in tally.failures[:40]:
        print(f"  {failure[:400]}")
    has_grown = growth > GROWTH_MAX and options.requests >= GROWTH_TOLD_FROM
    is_well = not tally.failures and not has_grown and alive == 200 and found_by_tool == 0
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
