"""A thousand clients that wait for jobs: `make bench-longpoll`.

The shipped gunicorn configuration with two processes, Redis as `megatts3 up` starts it, and in the place of a worker
somebody who ends the jobs.  1,000 connections ask `GET /api/v1/jobs/{id}?wait=…`, each for a job of its own that runs;
then the jobs end at a steady rate.  Wake-up is from the end that Redis recorded (`finished_at`) to the moment the
client holds the whole answer.  Meanwhile others ask for health, the capacity and the list of jobs.  A second thousand
then waits and all jobs end as fast as one process can end them: that is told, and has no bound.

Writes build/bench_longpoll.json and a table; with --check it fails above the bound or where an answer is missing.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from contract.errors import ServiceError
from contract.schemas import AudioFormat, Job, JobResult, Priority, SpeechRequest, WorkerState, new_id
from contract.stores.interfaces import Stores
from contract.stores.jobs import Claim
from scripts.api_process import api_process

MOST_P99_S = 0.1
WAIT_S = 120
BESIDE = ("/health", "/api/v1/capacity", "/api/v1/jobs?limit=5")
BESIDE_EVERY_S = 0.1
START_WITHIN_S = 120.0
HEAD_END = b"\r\n\r\n"


@dataclass
class Round:
    """What one thousand saw."""

    woken_s: list[float] = field(default_factory=list)
    beside_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rate", type=float, default=50.0, help="jobs that end a second")
    parser.add_argument("--out", type=Path, default=Path("build/bench_longpoll.json"))
    parser.add_argument("--check", action="store_true", help="fail above the bound")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, service(Path(folder), chosen.processes) as (port, stores):
        steady = one_round(port, stores, clients=chosen.clients, rate=chosen.rate)
        at_once = one_round(port, stores, clients=chosen.clients, rate=None)
    found = {
        "conditions": {
            "clients": chosen.clients,
            "gunicorn_processes": chosen.processes,
            "jobs_ended_a_second": chosen.rate,
            "cores": os.cpu_count(),
            "load_1min": round(os.getloadavg()[0], 2),
        },
        "steady": told(steady),
        "at_once": told(at_once),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    rounds = (steady, at_once)
    answered = all(not each.wrong and len(each.woken_s) == chosen.clients for each in rounds)
    is_well = answered and percentile(steady.woken_s, 99) <= MOST_P99_S
    return int(chosen.check and not is_well)


def told(seen: Round) -> dict[str, Any]:  # Any: JSON
    return {
        "answered": len(seen.woken_s),
        "wrong": seen.wrong[:10],
        "wake_up_ms": {name: ms(seen.woken_s, p) for name, p in (("p50", 50), ("p99", 99), ("max", 100))},
        "others": {"asked": len(seen.beside_s), **{f"p{p}_ms": ms(seen.beside_s, p) for p in (50, 99, 100)}},
    }


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else float("inf")


def ms(values: Sequence[float], percent: int) -> float:
    return round(percentile(values, percent) * 1000, 1)


def one_round(port: int, stores: Stores, *, clients: int, rate: float | None) -> Round:
    claims = [running_job(stores, number) for number in range(clients)]
    return asyncio.run(_round(port, stores, claims, rate))


def running_job(stores: Stores, number: int) -> Claim:
    request = SpeechRequest(text=f"Somebody waits for sentence {number}.", seed=number)
    job = stores.jobs.create(Job(id=new_id("job"), request=request, priority=Priority.BATCH, estimate_s=3.0)).job
    claim = stores.jobs.claim(job.id, worker="bench", lease_s=3600)
    assert claim is not None
    return claim


async def _round(port: int, stores: Stores, claims: Sequence[Claim], rate: float | None) -> Round:
    seen, waiting, over = Round(), asyncio.Semaphore(0), asyncio.Event()
    polls = []
    for claim in claims:
        polls.append(asyncio.create_task(poll(port, claim.job.id, seen, waiting)))
        await asyncio.sleep(0.002)  # as they come, 500 a second; not one burst of connections
    for _ in claims:
        await waiting.acquire()
    await asyncio.sleep(2.0)  # all wait now, and the last has looked once
    others = asyncio.create_task(beside(port, seen, over))
    await asyncio.sleep(0.5)
    ending = threading.Thread(target=end_all, args=(stores, claims, rate))
    ending.start()
    await asyncio.wait(polls, timeout=WAIT_S)
    over.set()
    await others
    await asyncio.to_thread(ending.join)
    for task in polls:
        if not task.done():
            seen.wrong.append("no answer")
            task.cancel()
        elif (error := task.exception()) is not None:
            seen.wrong.append(repr(error))
    return seen


def end_all(stores: Stores, claims: Sequence[Claim], rate: float | None) -> None:
    began = time.monotonic()
    for number, claim in enumerate(claims):
        if rate is not None:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
        result = JobResult(f"jobs/{claim.job.id}/audio.wav", AudioFormat.WAV, 3.0, 24_000, 144_044, synthesis_s=0.5)
        assert stores.jobs.finish(claim.job.id, claim.token, result)


async def poll(port: int, job_id: str, seen: Round, waiting: asyncio.Semaphore) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asked(writer, f"/api/v1/jobs/{job_id}?wait={WAIT_S}")
        waiting.release()
        status, body = await answer(reader)
        held_at = time.time()
        job = json.loads(body)
        if status != 200 or (job["id"], job["status"]) != (job_id, "done"):
            seen.wrong.append(f"{status} {body[:200]!r}")
            return
        seen.woken_s.append(held_at - datetime.fromisoformat(job["finished_at"]).timestamp())
    finally:
        writer.close()


async def beside(port: int, seen: Round, over: asyncio.Event) -> None:
    """Somebody else, one request after another on new connections."""
    number = 0
    while not over.is_set():
        path, began = BESIDE[number % len(BESIDE)], time.perf_counter()
        number += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asked(writer, path)
        status, body = await answer(reader)
        writer.close()
        seen.beside_s.append(time.perf_counter() - began)
        if status != 200:
            seen.wrong.append(f"{path}: {status} {body[:200]!r}")
        await asyncio.sleep(BESIDE_EVERY_S)


async def asked(writer: asyncio.StreamWriter, path: str) -> None:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await writer.drain()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(HEAD_END)).decode("latin-1")
    lines = head.split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


@contextmanager
def service(folder: Path, processes: int) -> Iterator[tuple[int, Stores]]:
    """Redis and the API on free ports, and the stores beside them."""
    with api_process(folder, processes) as api:
        worker = WorkerState(
            name="bench", pid=1, host="bench", device="cpu", precision="fp32", ready=True, checkpoint="mini",
            revision="r1", encoder_available=True,
        )  # fmt: skip
        stand_up(api.port, api.stores, worker)
        yield api.port, api.stores


def stand_up(port: int, stores: Stores, worker: WorkerState) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            stores.workers.heartbeat(worker, ttl_s=3600)
            if asyncio.run(_healthy(port)):
                return
        except (ServiceError, OSError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


async def _healthy(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asked(writer, "/health")
    status, _ = await answer(reader)
    writer.close()
    return status == 200


if __name__ == "__main__":
    sys.exit(main())
