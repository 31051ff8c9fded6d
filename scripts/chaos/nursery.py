"""Workers born at once: one process has imported what a worker imports, and forks a worker for each one wanted.

Importing torch takes seconds of processor time, which a real worker spends once and chaos would spend thirty times.
The nursery has no threads, so forking it is safe.  A worker is handed to the launcher as its own child (the launcher
is a subreaper), in a process group of its own, and ends with the launcher, as cli.tether's children do.
"""

import ctypes
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from cli.processes import Child, ServiceSpec, set_aside
from cli.tether import tether_to_parent

PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>
ADOPTED_WITHIN_S = 10.0
IMPORTED = ("celery.bin.celery", "celery.bin.worker", "scripts.chaos.coded_engine", "worker.celery_app")


class Nursery:
    """Starts children of a spec whose argv begins with `python -m`; `start` is for cli.supervisor.Supervisor."""

    def __init__(self, *, born_here: Callable[[ServiceSpec], bool]) -> None:
        self._born_here = born_here
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.chaos.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, spec: ServiceSpec) -> "Child | Forked":
        return Forked(spec, self._bear(spec)) if self._born_here(spec) else Child(spec)

    def close(self) -> None:
        self._process.kill()  # it keeps nothing
        self._process.communicate()

    def _bear(self, spec: ServiceSpec) -> int:
        spec.log_path.parent.mkdir(parents=True, exist_ok=True)
        set_aside(spec.log_path)
        wanted = {
            "argv": spec.argv[2:],  # python -m
            "env": dict(spec.env),
            "log": str(spec.log_path.absolute()),
            "cwd": str(spec.cwd or "."),
            "launcher": os.getpid(),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class Forked:
    """As cli.processes.Child, of a process that the nursery bore."""

    def __init__(self, spec: ServiceSpec, pid: int) -> None:
        self.spec, self.pid = spec, pid
        self._status: int | None = None

    def exit_status(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def ask_to_stop(self) -> None:
        if self.exit_status() is None:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.exit_status() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        self.wait(5.0)


def main() -> None:
    """Import, then bear one child a line of standard input; each line is answered with its pid."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        wanted = json.loads(line)
        inner, outer = os.pipe()
        between = os.fork()
        if between == 0:
            _bear(wanted, outer)
        os.close(outer)
        os.waitpid(between, 0)
        print(os.read(inner, 20).decode(), flush=True)
        os.close(inner)


def _bear(wanted: dict, told: int) -> None:  # type: ignore[type-arg] # JSON
    """In the process between: fork once more and end, so that the launcher adopts the child."""
    pid = os.fork()
    if pid:
        os.write(told, str(pid).encode())
        os._exit(0)
    os.close(told)
    os.setsid()
    deadline = time.monotonic() + ADOPTED_WITHIN_S
    while os.getppid() != wanted["launcher"] and time.monotonic() < deadline:
        time.sleep(0.002)
    tether_to_parent(wanted["launcher"])
    log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.chdir(wanted["cwd"])
    os.environ.update(wanted["env"])
    module, *arguments = wanted["argv"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=False)
    os._exit(0)


if __name__ == "__main__":
    main()
