"""Claims with a figure each: `python -m scripts.chaos.proofs flight partial swaps rolling …`.

flight   fifty equal requests at once are computed once
partial  of a long text with one sentence changed, that sentence is computed
swaps    a thousand requests over eight voices, 32 at a time, through two workers: each hears its own
rolling  API and workers are renewed one after another under load: no request fails
rolling-single  the same with one worker: what comes while it is away waits
scaling  1, 2, 4 and 8 workers of an engine that sleeps as a GPU would: throughput of many jobs against the ideal
scaling-long  the same of one long job, which all workers share
"""

import argparse
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
import soundfile

from cli.rolling import Rolling
from cli.up import await_successor
from contract.settings import load_settings
from contract.stores.opening import open_stores
from scripts.chaos.clients import VOICES, Client, Clients, voice_id
from scripts.chaos.coded_audio import codes_in
from scripts.chaos.coded_text import expected, sentence, text_of
from scripts.chaos.ledger import Entry, Ledger
from scripts.chaos.stage import Cast, Stage, eventually

FLIGHT, REQUESTS, AT_ONCE = 50, 1000, 32
LONG = 20  # segments of the text that is edited
ROLLING_CLIENTS, RENEWED_WITHIN_S = 12, 400.0
SLOW = "4,0.25,8"  # 2 s a segment, four at once: two segments a second a worker
LONGER = "as written in the book"  # 192 such sentences are 10,000 characters
SEGMENTS_A_ROW = 6  # of each worker's rows, in the job that is timed


@dataclass(frozen=True)
class Shown:
    """One claim, the figure that was seen, and whether it holds."""

    claim: str
    figure: str
    holds: bool


@contextmanager
def on_stage(cast: Cast, beside: Callable[[Stage, Clients], list[Shown]]) -> Iterator[list[Shown]]:
    """Run `beside` while the stage is kept alive by this thread; its results."""
    with tempfile.TemporaryDirectory(prefix="proof-", ignore_cleanup_errors=True) as folder:
        stage = Stage(Path(folder), cast)
        clients, shown = Clients(stage.url, Ledger(), seed=1), list[Shown]()

        def run() -> None:
            clients.upload_voices()
            shown.extend(beside(stage, clients))

        try:
            stage.perform(run, name="proof")
        finally:
            clients.stop.set()
            clients.give_up.set()
        yield shown


def flight(stage: Stage, clients: Clients) -> list[Shown]:
    before = len(spoken(stage))
    body = {"text": text_of(1, 3), "voice_id": voice_id(1), "time_step": 8}

    def ask(_: int) -> tuple[int, str]:
        answer = requests.post(f"{clients.url}/api/v1/tts/synthesize", json=body, timeout=170)
        return answer.status_code, answer.headers.get("X-Job-ID", "")

    with ThreadPoolExecutor(FLIGHT) as pool:
        answers = list(pool.map(ask, range(FLIGHT)))
    computed = len(spoken(stage)) - before
    statuses = Counter(status for status, _ in answers)
    figure = f"{dict(statuses)} by status, {computed} segments computed of a text of 3"
    return [Shown(f"{FLIGHT} equal requests, one computation", figure, statuses == {200: FLIGHT} and computed == 3)]


def partial(stage: Stage, clients: Clients) -> list[Shown]:
    first = [sentence(2, part, LONG) for part in range(1, LONG + 1)]
    edited = [*first[:7], sentence(2, 8, LONG, also="anew"), *first[8:]]
    said = []
    for lines in (first, edited, edited):
        before = len(spoken(stage))
        body = {"text": " ".join(lines), "voice_id": voice_id(2), "time_step": 8}
        answer = requests.post(f"{clients.url}/api/v1/tts/synthesize", json=body, timeout=170)
        right = codes_in(soundfile.read(io.BytesIO(answer.content), dtype="float32")[0]) == expected(2, LONG, 2)
        said.append((answer.headers.get("X-Cache"), len(spoken(stage)) - before, right))
    figure = "; ".join(f"{cache}: {computed} computed" for cache, computed, _ in said)
    holds = said == [("miss", LONG, True), ("partial", 1, True), ("hit", 0, True)]
    return [Shown(f"a text of {LONG} segments, then with one changed, then the same again", figure, holds)]


def swaps(_stage: Stage, clients: Clients) -> list[Shown]:
    began = time.monotonic()

    def one(n: int) -> None:
        with requests.Session() as session:
            client = Client(clients, session, random.Random(n))  # noqa: S311
            entry = clients.ledger.open("speak", voice=1 + n % VOICES, parts=1 + n % 3)
            client.speak_entry(entry)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(REQUESTS)))
    right = sum(entry.audio == "right" for entry in clients.ledger.entries)
    wrong = len(clients.ledger.swapped)
    figure = f"{right} right, {wrong} swapped, {REQUESTS / (time.monotonic() - began):.1f} a second"
    return [Shown(f"{REQUESTS} requests, {VOICES} voices, {AT_ONCE} at a time", figure, right == REQUESTS)]


def rolling(stage: Stage, clients: Clients) -> list[Shown]:
    """The stage's own supervisor is driven by the main thread; the renewal hooks into its ticks."""
    stores = open_stores(load_settings(environ=stage.environment))
    said: list[str] = []

    def is_up(_name: str, pid: int) -> bool:
        return any(worker.pid == pid and worker.ready for worker in stores.workers.list())

    is_leaving = await_successor(load_settings(environ=stage.environment))
    renewal = Rolling(stage.supervisor, is_up=is_up, say=said.append, is_leaving=is_leaving)
    clients.start(ROLLING_CLIENTS, mix={"job": 1, "speak": 1}, pause_s=0.2)
    time.sleep(3)
    before, old = stage.supervisor.pids(), stage.api_children()
    renewal.begin()
    stage.also = renewal.tick
    renewed = eventually(
        lambda: not renewal.is_under_way and not set(stage.api_children()) & set(old), RENEWED_WITHIN_S, every_s=0.2
    )
    stage.also = None
    time.sleep(3)
    clients.stop.set()
    clients.join(170)
    ledger, after = clients.ledger, stage.supervisor.pids()
    done = sum(entry.audio == "right" for entry in ledger.entries)
    failed = sum(ledger.refusals.values()) + sum(ledger.surprises.values()) + len(ledger.lost)
    changed = sum(after[name] != before[name] for name in before if name.startswith("worker"))
    figure = (
        f"{done} done, {failed} failed {dict(ledger.refusals | ledger.surprises)}; "
        f"{changed} workers and {len(old)} API processes renewed"
    )
    holds = renewed and failed == 0 and changed == stage.cast.workers and done > 0
    return [Shown("a rolling restart under load, no failed request", figure, holds)]


def scaling(*, is_long: bool, counts: tuple[int, ...] = (1, 2, 4, 8)) -> list[Shown]:
    """As many jobs as rows, or one long job, for each number of workers."""
    times: dict[int, float] = {}
    used: dict[int, int] = {}
    for count in counts:

        def measure(stage: Stage, clients: Clients, count: int = count) -> list[Shown]:
            rows = count * 4
            jobs, parts = (1, rows * SEGMENTS_A_ROW) if is_long else (rows, SEGMENTS_A_ROW)

            def speak(n: int) -> Entry:
                with requests.Session() as session:
                    client = Client(clients, session, random.Random(n))  # noqa: S311
                    return client.job_of(parts, also=LONGER if is_long else "")

            speak(0)  # everybody has been asked something before
            warmed, began = len(spoken(stage)), time.monotonic()
            with ThreadPoolExecutor(jobs) as pool:
                entries = list(pool.map(speak, range(jobs)))
            times[count] = jobs * parts / (time.monotonic() - began)
            used[count] = len({line.split()[3] for line in spoken(stage)[warmed:]})
            right = all(entry.audio == "right" for entry in entries)
            return [Shown(f"{count} workers", f"{times[count]:.2f} segments a second, {used[count]} at work", right)]

        with on_stage(Cast(workers=count, pace=SLOW), measure) as shown:
            print(shown[0].figure, flush=True)
    shares = {count: times[count] / (count * times[counts[0]]) * counts[0] for count in counts}
    figure = "; ".join(f"{n}: {times[n]:.2f}/s ({shares[n]:.2f} of ideal, {used[n]} at work)" for n in counts)
    characters = len(text_of(1000, counts[-1] * 4 * SEGMENTS_A_ROW, also=LONGER))
    what = f"one long job (of {characters} characters at {counts[-1]})" if is_long else "many jobs"
    return [Shown(f"throughput of {what}, segments a second", figure, shares[counts[-1]] >= 0.9)]


def spoken(stage: Stage) -> list[str]:
    return stage.spoken_log.read_text(encoding="ascii").splitlines() if stage.spoken_log.exists() else []


PROOFS: dict[str, tuple[Cast, Callable[[Stage, Clients], list[Shown]]]] = {
    "flight": (Cast(workers=2, pace="4,0.05,8"), flight),
    "partial": (Cast(workers=2, pace="4,0.05,8"), partial),
    "swaps": (Cast(workers=2, pace="8,0.01,4"), swaps),
    "rolling": (Cast(workers=2), rolling),
    "rolling-single": (Cast(workers=1), rolling),
}

SCALING = ("scaling", "scaling-long")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos.proofs", description=__doc__)
    parser.add_argument("which", nargs="*", default=[*PROOFS, *SCALING], choices=[*PROOFS, *SCALING])
    seen: list[Shown] = []
    for name in parser.parse_args().which:
        if name.startswith("scaling"):
            seen += scaling(is_long=name == "scaling-long")
        else:
            with on_stage(*PROOFS[name]) as shown:
                seen += shown
        print(f"{name}: {seen[-1].claim}: {seen[-1].figure}: {'holds' if seen[-1].holds else 'FAILS'}", flush=True)
    return 0 if all(each.holds for each in seen) else 1


if __name__ == "__main__":
    sys.exit(main())
