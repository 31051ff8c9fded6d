"""One listener for all processes: sums are exact, also of processes that were killed, and files do not pile up."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.dead_processes import FOLD_ABOVE, fold_dead
from monitor.listener import Listener, registry_of

ROOT = Path(__file__).resolve().parents[2]
COUNTS = 500
PROCESS = """
import sys, time
from contract.metrics import Metrics
metrics = Metrics()
for _ in range({counts}):
    metrics.throughput.labels("/health", "200").inc()
    metrics.synthesis.observe(0.3)
metrics.batch_rows.labels(sys.argv[1]).set(3)
print("counted", flush=True)
sys.stdin.read()
"""


class Processes:
    """Processes that count, then wait for the end of their input."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.running: list[subprocess.Popen[str]] = []

    def start(self, name: str, counts: int = COUNTS) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS.format(counts=counts), name],
            cwd=ROOT,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        process.communicate("", timeout=20)
        self.running.remove(process)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path)
    yield made
    for process in list(made.running):
        made.end(process)


@pytest.fixture
def scrape(tmp_path: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """What the listener says over HTTP: value by series."""
    listener = Listener(registry_of(tmp_path, None), "127.0.0.1", 0)
    listener.start()

    def ask() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    yield ask
    listener.stop()


REQUESTS = 'megatts3_throughput_requests_total{route="/health",status="200"}'


def test_the_counts_of_four_processes_are_summed_and_those_of_a_killed_one_stay(processes, scrape):
    started = [processes.start(f"w{n}") for n in range(4)]
    assert scrape()[REQUESTS] == 4 * COUNTS

    started[0].send_signal(signal.SIGKILL)
    started[0].wait(10)

    seen = scrape()
    assert seen[REQUESTS] == 4 * COUNTS
    assert seen["megatts3_synthesis_latency_seconds_count"] == 4 * COUNTS
    assert seen['megatts3_synthesis_latency_seconds_bucket{le="0.25"}'] == 0
    assert seen['megatts3_synthesis_latency_seconds_bucket{le="0.5"}'] == 4 * COUNTS


def test_what_a_dead_process_measured_last_is_not_told_any_more(processes, scrape):
    alive, dead = processes.start("alive"), processes.start("dead")
    assert scrape()['megatts3_batch_rows{worker="dead"}'] == 3

    processes.end(dead)

    seen = scrape()
    assert 'megatts3_batch_rows{worker="dead"}' not in seen
    assert seen['megatts3_batch_rows{worker="alive"}'] == 3
    assert alive.poll() is None


def test_the_files_of_the_dead_are_folded_and_no_count_is_lost(tmp_path, processes, scrape):
    living = processes.start("alive", counts=1)
    for number in range(FOLD_ABOVE + 2):  # as if so many had died: processes cost seconds, their files do not
        for kind in ("counter", "histogram"):
            copy = tmp_path / f"{kind}_{4_194_304 + number}.db"  # above the largest process number Linux gives
            copy.write_bytes((tmp_path / f"{kind}_{living.pid}.db").read_bytes())

    expected = FOLD_ABOVE + 3
    assert scrape()[REQUESTS] == expected
    assert sorted(p.name for p in tmp_path.glob("counter_*")) == ["counter_0.db", f"counter_{living.pid}.db"]
    assert scrape()[REQUESTS] == expected
    assert scrape()["megatts3_synthesis_latency_seconds_count"] == expected


def test_few_files_of_the_dead_are_left_alone(tmp_path, processes):
    processes.end(processes.start("one", counts=1))

    fold_dead(tmp_path)

    assert len(list(tmp_path.glob("counter_*.db"))) == 1
    assert not list(tmp_path.glob("*_0.db"))
