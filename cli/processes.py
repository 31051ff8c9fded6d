"""One child process: started in a process group of its own, stopped politely, then for certain."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEEP_LOG_BYTES = 10_000_000  # a service's console output beyond this is set aside at its next start


@dataclass(frozen=True)
class ServiceSpec:
    """How to run one service.  `env` is added to the launcher's own environment."""

    name: str
    argv: tuple[str, ...]
    log_path: Path
    stop_timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    is_vital: bool = True  # False: the service starts and goes on without it
    holds_jobs: bool = False  # its end is told to the others (cli/obituaries.py)
    renews: bool = False  # part of a rolling restart: one after another, or by itself on `renew_signal`
    renew_signal: signal.Signals | None = None


class Child:
    """A running service.  Mutable: the operating system ends it; nobody else does."""

    def __init__(self, spec: ServiceSpec) -> None:
        self.spec = spec
        spec.log_path.parent.mkdir(parents=True, exist_ok=True)
        set_aside(spec.log_path)
        assignments = [f"{name}={value}" for name, value in spec.env.items()]
        with spec.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.tether", str(os.getpid()), *assignments, "--", *spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=spec.cwd,
                start_new_session=True,  # a terminal's Ctrl-C reaches the launcher alone, which keeps order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """SIGTERM to the service's main process: it knows how to bring its own children down."""
        if self.exit_status() is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_group(self) -> None:
        """Whatever is left of the service and of its own children, at once."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # nothing is left, which is what we want
            return
        except PermissionError:  # macOS says so for a group of zombies
            return
        self._process.wait()


def set_aside(log_path: Path) -> None:
    """Rename a console log that has grown large, keeping one older one."""
    if log_path.exists() and log_path.stat().st_size > KEEP_LOG_BYTES:
        log_path.replace(log_path.with_name(log_path.name + ".1"))


def last_lines(log_path: Path, count: int = 15) -> list[str]:
    """The end of a console log, for a message to a person; empty when there is none."""
    if not log_path.exists():
        return []
    with log_path.open("rb") as log:
        log.seek(max(0, log_path.stat().st_size - 64_000))
        return log.read().decode("utf-8", "replace").splitlines()[-count:]
