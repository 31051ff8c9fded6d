"""Throw requests that no one meant at the API, and see that it stays an API.

    python scripts/fuzz.py [--requests 20000] [--seed 1] [--clients 6] [--schemathesis]

gunicorn and Redis as in production, a stand-in for the worker that answers at once.  Two sorts of requests: made
from the OpenAPI document (right, wrong and extreme values, as JSON, form, multipart), and multipart bodies broken on
purpose.  Exit status 0 only if there was no 5xx but 503 and 504, no silence, no error but JSON, no status that the
document does not name, and at most 10 % more memory than after the first tenth.  `--schemathesis` runs that tool, too.
"""

import argparse
import base64
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "server")]

import redis  # noqa: E402
from api_service import WORKER, FakeWorker, until, voice_record  # noqa: E402

from contract.errors import ServiceError  # noqa: E402
from contract.queues import QueueName, TaskName, broker_url  # noqa: E402
from contract.settings import load_settings  # noqa: E402
from contract.stores.interfaces import Stores  # noqa: E402
from scripts.api_process import api_process  # noqa: E402
from scripts.fuzz_requests import Maker, Shot  # noqa: E402

ANSWER_WITHIN_S = 30.0
GROWTH_MAX = 0.10
GROWTH_TOLD_FROM = 2000  # requests; in a shorter run the first tenth is no warm-up
BY_DESIGN = {503, 504}


@dataclass
class Tally:
    """What came back; changed by the clients under its lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    statuses: Counter[int] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)  # by operation
    served: Counter[tuple[str, str]] = field(default_factory=Counter)  # of these, answered 2xx
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def note(self, shot: Shot, status: int, spent_s: float, failure: str | None) -> None:
        with self.lock:
            self.statuses[status] += 1
            if shot.template is not None:
                self.asked[shot.method, shot.template] += 1
                self.served[shot.method, shot.template] += 200 <= status < 300
            self.slowest_s = max(self.slowest_s, spent_s)
            if failure is not None and len(self.failures) < 200:
                self.failures.append(failure)


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
            kind, status = answer.getheader("Content-Type", ""), answer.status
            failure = judge(shot, status, kind, body, document)
            if status < 300 and kind == "application/json" and body:
                maker.heard(json.loads(body))
        except TimeoutError:
            status, failure = 0, f"no answer in {ANSWER_WITHIN_S:.0f} s: {shot.method} {shot.path} {shot.body[:300]!r}"
            connection.close()
        except (http.client.HTTPException, OSError) as error:
            status, failure = (
                -1,
                f"{type(error).__name__}: {shot.method} {shot.path} {shot.headers} {shot.body[:300]!r}",
            )
            connection.close()
        tally.note(shot, status, time.monotonic() - began, failure)
    connection.close()


def serve_jobs(worker: FakeWorker, redis_url: str, stop: threading.Event) -> None:
    """The stand-in for the worker: takes the messages off Celery's queues, speaks, plans and prepares at once."""
    prefix = f"{load_settings(environ={}).redis.prefix}:celery:"
    queues = [prefix + queue.value for queue in QueueName]
    work = {
        TaskName.SYNTHESIZE: worker._speak,
        TaskName.PLAN: worker._plan,
        TaskName.PREPARE_VOICE: worker._prepare,
    }
    with redis.Redis.from_url(broker_url(redis_url), socket_timeout=None) as client:
        while not stop.is_set():
            taken: Any = client.brpop(queues, timeout=0.2)  # type: ignore[arg-type] # Any: as redis-py types it
            if taken is None:
                continue
            message = json.loads(taken[1])
            (record_id,), _, _ = json.loads(base64.b64decode(message["body"]))
            with suppress(ServiceError, AssertionError, KeyError):  # erased or replaced meanwhile
                work[TaskName(message["headers"]["task"])](record_id)


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
    redis_url: str


@contextmanager
def service(folder: Path, processes: int) -> Iterator[Target]:
    with api_process(folder, processes, {"MEGATTS3_SYNC_WAIT": "20"}) as api:
        address = f"127.0.0.1:{api.port}"
        until(lambda: up(address), timeout_s=120)
        for voice_id in ("default", "voice_001"):
            api.stores.voices.create(voice_record(voice_id), replace=True)
        api.stores.workers.heartbeat(WORKER, ttl_s=100_000)
        yield Target(address, api.pid, api.log, api.stores, api.redis_url)


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
    with ThreadPoolExecutor(clients) as pool:
        works = [
            pool.submit(fire, target.address, document, count=share, seed=seed + n, tally=tally) for n in range(clients)
        ]
    for work in works:
        work.result()  # a client that died asked less than it was to ask: that is no clean run


def run_schemathesis(address: str, seed: int) -> int:
    program = shutil.which("schemathesis") or shutil.which("st")
    if program is None:
        print("schemathesis is not installed here: skipped")
        return 1
    argv = [program, "--config-file", str(ROOT / "scripts" / "schemathesis.toml"), "run"]
    argv += [f"http://{address}/openapi.json", "--max-examples", "30", "--no-color", "--request-timeout", "30"]
    argv += ["--seed", str(seed)]
    return subprocess.run(argv, check=False).returncode


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
        worker = threading.Thread(
            target=serve_jobs, args=(FakeWorker(target.stores), target.redis_url, stop), daemon=True
        )
        worker.start()
        document = json.loads(ask(target.address, "/openapi.json")[1])
        warm, began = max(options.requests // 10, 1), time.monotonic()
        volley(target, document, count=warm, clients=options.clients, seed=options.seed, tally=tally)
        before = resident_kib(target.pid)
        rest = max(options.requests - warm, 0)
        volley(target, document, count=rest, clients=options.clients, seed=options.seed + 1000, tally=tally)
        after, spent_s = resident_kib(target.pid), time.monotonic() - began
        found_by_tool = run_schemathesis(target.address, options.seed) if options.schemathesis else 0
        alive = ask(target.address, "/health")[0]
        stop.set()
        worker.join(30)
        tracebacks = target.log.read_text(errors="replace").count("Traceback")
    growth = after / before - 1
    print(f"{sum(tally.statuses.values())} requests in {spent_s:.0f} s, slowest {tally.slowest_s:.2f} s")
    print("statuses: " + ", ".join(f"{status}: {count}" for status, count in sorted(tally.statuses.items())))
    for (method, path), count in sorted(tally.asked.items(), key=lambda item: item[0][1]):
        print(f"  {tally.served[method, path] / count:4.0%} of {count:5} served: {method} {path}")
    print(f"resident memory {before} KiB after the first tenth, {after} KiB at the end: {growth:+.1%}")
    print(f"health afterwards {alive}; tracebacks in gunicorn's log {tracebacks}; failures {len(tally.failures)}")
    for failure in tally.failures[:40]:
        print(f"  {failure[:400]}")
    has_grown = growth > GROWTH_MAX and options.requests >= GROWTH_TOLD_FROM
    is_well = not tally.failures and not has_grown and alive == 200 and found_by_tool == 0
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
