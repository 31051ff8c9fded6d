"""A rolling restart over real, small processes: one after another, and never a crash."""

import signal
import sys
import threading
import time

import pytest

from cli.processes import ServiceSpec
from cli.rolling import Rolling
from cli.supervisor import Supervisor

FOREVER = "import time\nwhile True: time.sleep(60)"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\n"
    "while True: time.sleep(60)"
)
RENEWS_ITSELF = (
    "import signal, time\nsignal.signal(signal.SIGHUP, lambda *_: print('renewed', flush=True))\n"
    "print('up', flush=True)\nwhile True: time.sleep(60)"
)


@pytest.fixture
def spec(tmp_path):
    def make(name: str, program: str = FOREVER, **options: object) -> ServiceSpec:
        argv = (sys.executable, "-c", program)
        return ServiceSpec(name, argv, tmp_path / f"{name}.log", options.pop("stop_timeout_s", 10.0), **options)

    return make


@pytest.fixture
def run():
    """`run(specs, is_up)`: a supervisor with its services started, and a rolling restart for it."""
    started: list[Supervisor] = []

    def make(specs, is_up, said=None):
        said = [] if said is None else said
        supervisor = Supervisor(specs, clock=time.monotonic, say=said.append)
        supervisor.start()
        started.append(supervisor)
        return supervisor, Rolling(supervisor, is_up=is_up, say=said.append)

    yield make
    for supervisor in started:
        supervisor.stop()


def drive(supervisor, rolling, until, within_s=30.0):
    deadline = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        supervisor.tick()
        rolling.tick()
        time.sleep(0.01)


def test_workers_are_renewed_one_after_another_and_the_next_waits_for_the_former(spec, run):
    ready: set[int] = set()
    specs = [spec("redis"), spec("worker0", renews=True), spec("worker1", renews=True)]
    supervisor, rolling = run(specs, lambda _name, pid: pid in ready)
    before = supervisor.pids()

    rolling.begin()
    drive(supervisor, rolling, lambda: supervisor.pids().get("worker0") not in {None, before["worker0"]})
    for _ in range(20):
        supervisor.tick()
        rolling.tick()
    assert supervisor.pids()["worker1"] == before["worker1"], "worker0 is not ready yet"

    ready.add(supervisor.pids()["worker0"])
    drive(supervisor, rolling, lambda: supervisor.pids().get("worker1") not in {None, before["worker1"]})
    ready.add(supervisor.pids()["worker1"])
    drive(supervisor, rolling, lambda: not rolling.is_under_way)

    assert supervisor.pids()["redis"] == before["redis"]
    assert all(watched.crashes == 0 for watched in supervisor.watched)


def test_who_is_to_leave_is_told_of_first(spec, run):
    told: list[tuple[int, bool]] = []
    supervisor, rolling = run([spec("worker0", renews=True)], lambda _name, _pid: True)
    rolling = Rolling(
        supervisor,
        is_up=lambda _name, _pid: True,
        say=lambda _line: None,
        is_leaving=lambda pid: told.append((pid, supervisor.pids()["worker0"] == pid)),
    )
    before = supervisor.pids()["worker0"]
    rolling.begin()
    drive(supervisor, rolling, lambda: not rolling.is_under_way)
    assert told == [(before, True)]
    assert supervisor.pids()["worker0"] != before


def test_who_renews_by_a_signal_keeps_its_process(spec, run, tmp_path):
    api = spec("api", RENEWS_ITSELF, renews=True, renew_signal=signal.SIGHUP)
    supervisor, rolling = run([api], lambda _name, _pid: True)
    log = tmp_path / "api.log"
    before = supervisor.pids()
    drive(supervisor, rolling, lambda: "up" in log.read_text())

    rolling.begin()
    drive(supervisor, rolling, lambda: "renewed" in log.read_text())

    assert supervisor.pids() == before


def test_a_worker_that_does_not_stop_is_killed_and_renewed_all_the_same(spec, run, tmp_path):
    supervisor, rolling = run([spec("worker0", STUBBORN, renews=True, stop_timeout_s=0.5)], lambda _name, _pid: True)
    before = supervisor.pids()
    drive(supervisor, rolling, lambda: "up" in (tmp_path / "worker0.log").read_text())

    rolling.begin()
    drive(supervisor, rolling, lambda: not rolling.is_under_way)

    assert supervisor.pids() != before


def test_workers_stop_together_and_redis_after_them(spec, run, tmp_path):
    slow = (
        "import signal, sys, time\n"
        "def stop(*_):\n    print('asked', flush=True); time.sleep(1.5); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\nprint('up', flush=True)\nwhile True: time.sleep(60)"
    )
    said: list[str] = []
    specs = [spec("redis"), *(spec(f"worker{n}", slow) for n in range(3))]
    supervisor, rolling = run(specs, lambda _name, _pid: True, said)
    logs = [tmp_path / f"worker{n}.log" for n in range(3)]
    drive(supervisor, rolling, lambda: all("up" in log.read_text() for log in logs))

    stopping = threading.Thread(target=supervisor.stop)
    stopping.start()
    deadline = time.monotonic() + 20
    while not all("asked" in log.read_text() for log in logs):
        assert time.monotonic() < deadline
        assert stopping.is_alive(), "one was asked only after another had ended"
        time.sleep(0.01)
    assert not any(line.endswith("stopped") for line in said)
    stopping.join(30)

    assert said[-1] == "redis: stopped"
