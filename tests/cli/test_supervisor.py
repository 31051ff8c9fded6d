"""The supervisor over real, small processes."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode, LaunchError
from cli.processes import Child, ServiceSpec, last_lines
from cli.supervisor import Supervisor, back_off_s
from worker.watchdog import EX_DEVICE_LOST, EX_ENGINE_DIED

FOREVER = "import time; print('up', flush=True)\nwhile True: time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    "while True: time.sleep(60)"
)
WITH_GRANDCHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)"
)


def eventually(condition: Callable[[], object], within_s: float = 20.0) -> object:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError("the condition did not come true in time")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., ServiceSpec]:
    def make(name: str, program: str, stop_timeout_s: float = 10.0) -> ServiceSpec:
        return ServiceSpec(name, (sys.executable, "-c", program), tmp_path / f"{name}.log", stop_timeout_s)

    return make


class Said(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def supervise(said: Said) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def make(*specs: ServiceSpec) -> Supervisor:
        made.append(Supervisor(specs, clock=time.monotonic, say=said))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.stop()


def test_an_end_is_told_before_another_process_is_started(spec, said):
    told: list[tuple[str, int, bool]] = []
    supervisor: Supervisor

    def ended(service: ServiceSpec, pid: int) -> None:
        told.append((service.name, pid, is_alive(pid)))

    supervisor = Supervisor([spec("short", "pass")], clock=time.monotonic, say=said, ended=ended)
    supervisor.was_ready = True
    supervisor.start()
    first = supervisor.pids()["short"]
    try:
        eventually(lambda: supervisor.tick() or told)
        assert told == [("short", first, False)]
        assert supervisor.pids() == {}
    finally:
        supervisor.stop()


def test_a_service_that_dies_is_started_again(spec, supervise):
    supervisor = supervise(spec("steady", FOREVER))
    supervisor.start()
    supervisor.was_ready = True
    first = supervisor.pids()["steady"]
    os.kill(first, 9)

    def another_runs() -> bool:
        supervisor.tick()
        return supervisor.pids().get("steady", first) != first

    eventually(another_runs)
    assert is_alive(supervisor.pids()["steady"])


def test_services_are_stopped_last_started_first(spec, supervise, said):
    supervisor = supervise(spec("redis", FOREVER), spec("worker", FOREVER), spec("api", FOREVER))
    supervisor.start()

    supervisor.stop()

    assert [line for line in said if line.endswith("stopped")] == [
        "api: stopped",
        "worker: stopped",
        "redis: stopped",
    ]


def test_a_service_deaf_to_sigterm_is_killed_after_its_time(spec, supervise, said):
    stubborn = spec("stubborn", STUBBORN, stop_timeout_s=0.3)
    supervisor = supervise(stubborn)
    supervisor.start()
    pid = supervisor.pids()["stubborn"]
    eventually(lambda: last_lines(stubborn.log_path))

    supervisor.stop()

    assert not is_alive(pid)
    assert any("killed" in line for line in said)


def test_no_grandchild_is_left_behind(spec, supervise):
    parent = spec("parent", WITH_GRANDCHILD)
    supervisor = supervise(parent)
    supervisor.start()
    grandchild = int(eventually(lambda: last_lines(parent.log_path))[0])

    supervisor.stop()

    eventually(lambda: not is_alive(grandchild))


def test_children_end_when_the_launcher_is_killed(spec, tmp_path):
    launcher = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from cli.processes import Child, ServiceSpec\n"
        f"c = Child(ServiceSpec('c', (sys.executable, '-c', {FOREVER!r}), Path({str(tmp_path)!r}) / 'c.log', 5))\n"
        "print(c.pid, flush=True)\n"
        "time.sleep(600)"
    )
    outer = spec("launcher", launcher)
    child = Child(outer)
    inner_pid = int(eventually(lambda: last_lines(outer.log_path))[0])
    eventually(lambda: last_lines(tmp_path / "c.log"))

    os.kill(child.pid, 9)

    eventually(lambda: not is_alive(inner_pid))
    child.kill_group()


def test_a_service_that_never_comes_up_is_given_up_with_the_end_of_its_log(spec, supervise):
    broken = spec("worker", "import sys; sys.exit('no checkpoint at checkpoints/mini')")
    supervisor = supervise(broken)
    supervisor.start()

    def given_up() -> LaunchError | None:
        try:
            supervisor.tick()
        except LaunchError as error:
            return error
        return None

    error = eventually(given_up)
    assert error.code is ExitCode.SERVICE_FAILED
    assert "no checkpoint at checkpoints/mini" in error.message


def test_variables_reach_the_service(tmp_path):
    program = "import os; print(os.environ['MEGATTS3_PORT'], flush=True)"
    spec = ServiceSpec("api", (sys.executable, "-c", program), tmp_path / "api.log", 5.0, env={"MEGATTS3_PORT": "9=01"})
    child = Child(spec)

    assert child.wait(20)
    assert last_lines(spec.log_path) == ["9=01"]
    child.kill_group()


def test_the_back_off_doubles_up_to_a_limit():
    assert [back_off_s(n, 78) for n in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert back_off_s(10_000, 78) == 30.0


@pytest.mark.parametrize("status", [-signal.SIGKILL, -signal.SIGSEGV, 0, EX_ENGINE_DIED, EX_DEVICE_LOST])
def test_who_was_killed_or_asks_to_be_started_is_not_waited_for(status):
    """Three workers that are all killed a few times must not all be absent for half a minute."""
    assert [back_off_s(n, status) for n in (1, 2, 3, 10_000)] == [0.5, 1.0, 2.0, 2.0]
