"""`make chaos`: load and faults together, then mini under kills, then a verdict.

Exit status 1 when anything was lost, doubled or swapped, or when mini did not say the same under kills.
"""

import argparse
import contextlib
import dataclasses
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from scripts.chaos import mini, report
from scripts.chaos.clients import Clients
from scripts.chaos.faults import ALWAYS, KINDS, Faults
from scripts.chaos.ledger import Ledger
from scripts.chaos.stage import Cast, Stage, small_disk
from scripts.chaos.watch import Announcements, MemoryWatch

CLIENTS = 24
SETTLE_S = 100.0  # after the last fault everything open must come to its end within this
SLOPE_OVER_S = 60.0
# A step of the coded engine takes 0.02 s; the setting's own two minutes would be most of a run.
STUCK_SOON = {"WORKER_STUCK_AFTER_S": "10"}


@dataclass(frozen=True)
class Plan:
    """One run.  `kinds`: the faults to choose from; each comes once, then by weight."""

    seed: int
    seconds: float
    faults: int
    clients: int = CLIENTS
    freeze_s: float = 13.0
    cast: Cast = field(default_factory=lambda: Cast(settings=STUCK_SOON))
    kinds: tuple[str, ...] = ALWAYS


def run(plan: Plan, folder: Path) -> report.Report:
    """Start, load, break, settle, judge, stop.  Blocks; everything is started from the calling thread."""
    with small_disk(folder / "disk") as is_small:
        stage = Stage(folder, plan.cast)
        ledger = Ledger()
        clients = Clients(stage.url, ledger, seed=plan.seed)
        faults = Faults(stage, clients, random.Random(plan.seed), plan.freeze_s, is_small)  # noqa: S311
        announced = Announcements(stage.redis, stage.keys.events(), ledger)
        memory = MemoryWatch(stage.pids)
        over = threading.Event()
        conductor = threading.Thread(target=_conduct, args=(plan, clients, faults, over), name="conductor")
        try:
            stage.start()
            announced.start()
            memory.start()
            conductor.start()
            stage.run(over)
            conductor.join()
            announced.stop()
            memory.stop()
            return report.make_report(
                ledger,
                faults.done,
                seed=plan.seed,
                spoken_log=stage.spoken_log,
                slopes=memory.slopes(at_least_s=SLOPE_OVER_S),
            )
        finally:
            over.set()
            clients.stop.set()
            clients.give_up.set()
            stage.stop()


def _conduct(plan: Plan, clients: Clients, faults: Faults, over: threading.Event) -> None:
    """Clients come, faults happen at even distances with some play, then everybody is waited for."""
    try:
        clients.upload_voices()
        began = time.monotonic()
        clients.start(plan.clients)
        order = _order(plan, faults.dice)
        every_s = plan.seconds / max(1, len(order))
        for n, kind in enumerate(order):
            due = began + every_s * (n + faults.dice.uniform(0.1, 0.9))
            if over.wait(max(0.0, due - time.monotonic())):
                return
            faults.perform(kind)
        over.wait(max(0.0, began + plan.seconds - time.monotonic()))
        clients.stop.set()
        clients.join(SETTLE_S)
        faults.join()
    finally:
        over.set()


def _order(plan: Plan, dice: random.Random) -> list[str]:
    weights = [KINDS[kind] for kind in plan.kinds]
    more = max(0, plan.faults - len(plan.kinds))
    chosen = [*plan.kinds, *dice.choices(plan.kinds, weights, k=more)][: plan.faults]
    dice.shuffle(chosen)
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=130.0, help="of load; start and settling come on top")
    parser.add_argument("--faults", type=int, default=36)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--no-mini", action="store_true", help="leave out the part with real weights")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"), help="reports, and logs of a run that failed")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True)))
        plan = Plan(arguments.seed, arguments.seconds, arguments.faults, arguments.clients)
        is_good = False
        try:
            found = run(plan, folder)
            if not arguments.no_mini:
                found = dataclasses.replace(found, mini=mini.run(folder / "mini"))
            is_good = found.is_good
        finally:
            if not is_good:
                _keep_logs(folder, arguments.out / f"seed-{plan.seed}-logs")
        paths = report.write(found, arguments.out, f"seed-{plan.seed}")
    print(report.as_markdown(found))
    print("written:", *paths)
    return 0 if is_good else 1


def _keep_logs(folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("**/*.log"):
        (kept / "-".join(log.relative_to(folder).parts)).write_bytes(log.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
