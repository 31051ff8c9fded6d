"""`make soak`: a steady load without faults for a long time; what is counted before and after must be the same.

Everything that should go is made to go soon (jobs, segments and cached audio are kept for a minute): what stays is a
leak.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from contract.settings import load_settings
from contract.stores.opening import open_stores
from scripts.chaos import report
from scripts.chaos.clients import Clients
from scripts.chaos.ledger import Ledger
from scripts.chaos.stage import Cast, Stage, eventually
from scripts.chaos.watch import Announcements, MemoryWatch

KEEP_S = 60
CLIENTS, PAUSE_S = 6, 2.0
WARM_UP_S = 180.0
QUIET_WITHIN_S = 240.0  # nothing runs, and what is kept for a minute has gone
# Descriptors and connections may grow to the most that are used at once: pools keep what they opened.  A leak of one
# request in a hundred is several times as many in half an hour.
AT_ONCE = 2 * CLIENTS
ALLOWED_SLOPE_BYTES = 512 * 1024  # a minute; allocators breathe
MIX = {"job": 38, "speak": 38, "shared": 12, "twice": 6, "cancel": 6, "vanish": 6}
SETTINGS = {name: str(KEEP_S) for name in ("JOBS_KEEP_S", "CACHE_TTL", "CACHE_SEGMENT_TTL", "JOBS_IDEMPOTENCY_KEEP_S")}

Counts = dict[str, int]


def run(folder: Path, *, seed: int, minutes: float, warm_up_s: float = WARM_UP_S) -> report.Report:
    """Warm up, count, load, count again, judge.  Blocks; everything is started from the calling thread."""
    stage = Stage(folder, Cast(workers=2, pace="4,0.02,8", settings=SETTINGS))
    ledger, over = Ledger(), threading.Event()
    announced = Announcements(stage.redis, stage.keys.events(), ledger)
    memory = MemoryWatch(stage.pids, every_s=5.0)
    leaks: dict[str, str] = {}

    def conduct() -> None:
        try:
            _load(stage, ledger, seed=seed, seconds=warm_up_s, upload=True)
            before = counts(stage)
            memory.start()
            _load(stage, ledger, seed=seed + 1, seconds=minutes * 60)
            leaks.update(compared(before, counts(stage)))
        finally:
            over.set()

    conductor = threading.Thread(target=conduct, name="conductor")
    try:
        stage.start()
        announced.start()
        conductor.start()
        stage.run(over)
        conductor.join()
        announced.stop()
        memory.stop()
        slopes = memory.slopes(at_least_s=min(600.0, minutes * 30))
        return report.make_report(ledger, [], seed=seed, spoken_log=stage.spoken_log, slopes=slopes, leaks=leaks)
    finally:
        over.set()
        stage.stop()


def _load(stage: Stage, ledger: Ledger, *, seed: int, seconds: float, upload: bool = False) -> None:
    """One stretch of load, and then quiet."""
    clients = Clients(stage.url, ledger, seed=seed)
    if upload:
        clients.upload_voices()
    clients.start(CLIENTS, mix=MIX, pause_s=PAUSE_S)
    clients.stop.wait(seconds)
    clients.stop.set()
    clients.join(60)
    eventually(lambda: is_quiet(stage), QUIET_WITHIN_S, every_s=1.0)


def is_quiet(stage: Stage) -> bool:
    """No job is kept any more, no segment, and no cached audio (its stats drop what has expired)."""
    stores = open_stores(load_settings(environ=stage.environment))
    kept = stores.segments.stats().kept + stores.audio_cache.stats().entries
    return kept == 0 and stores.jobs.list(limit=1).jobs == ()


def counts(stage: Stage) -> Counts:
    """Descriptors and threads of every process, keys and clients of Redis, files of the storage."""
    found: Counts = {}
    for name, pid in stage.pids().items():
        with contextlib.suppress(OSError):
            found[f"files of {name}"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            found[f"threads of {name}"] = len(list(Path(f"/proc/{pid}/task").iterdir()))
    with stage.redis() as client:
        found["connections of Redis"] = int(client.info("clients")["connected_clients"])
        kinds = Counter(kind_of(key, stage.keys.root) for key in client.scan_iter(count=1000))
        found |= {f"keys {kind}": count for kind, count in kinds.items()}
    found["files in storage"] = sum(path.is_file() for path in stage.disk.rglob("*"))
    return found


def kind_of(key: str, root: str) -> str:
    """The key without what differs from one to the next."""
    return re.sub(r"(job|idempotency|inflight|audio|segment|worker|rate):[^ ]*", r"\1:…", key.removeprefix(root))


def compared(before: Counts, after: Counts) -> dict[str, str]:
    names = sorted(before.keys() | after.keys())
    return {name: f"{before.get(name, 0)}, {after.get(name, 0)}" for name in names}


def leaked(found: report.Report) -> list[str]:
    """Counts that grew beyond play, and slopes that are no noise."""
    told = []
    for name, value in found.leaks.items():
        before, after = (int(each) for each in value.split(", "))
        if after - before > (AT_ONCE if name.startswith(("files of", "threads", "connections")) else 0):
            told.append(f"{name}: {value}")
    told += [
        f"{s.name}: {s.bytes_a_minute / 1024:+.0f} KiB a minute"
        for s in found.slopes
        if s.bytes_a_minute > ALLOWED_SLOPE_BYTES
    ]
    return told


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, metavar="S")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        began = time.monotonic()
        found = run(Path(folder), seed=arguments.seed, minutes=arguments.minutes, warm_up_s=arguments.warm_up)
    paths = report.write(found, arguments.out, "soak")
    told = leaked(found)
    print(report.as_markdown(found))
    print("leaked:", "; ".join(told) or "nothing", f"({(time.monotonic() - began) / 60:.0f} min in all)")
    print("written:", *paths)
    return 0 if found.is_good and not told else 1


if __name__ == "__main__":
    sys.exit(main())
