"""Keep a list of services alive, and bring them down in the opposite order.

Policy is here (when to restart, when to give up); the operating system's part is in processes.py.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from cli.exit_codes import ExitCode, LaunchError
from cli.processes import Child, ServiceSpec, last_lines

POLL_S = 0.2
FIRST_BACK_OFF_S = 0.5
LONGEST_BACK_OFF_S = 30.0
LONGEST_AFTER_DEATH_S = 2.0
ASK_TO_BE_STARTED = frozenset({os.EX_SOFTWARE, os.EX_TEMPFAIL})  # as worker/watchdog.py ends a process
MOST_DOUBLINGS = 20  # days; a float has its limits
STEADY_AFTER_S = 20.0  # alive this long, a service's earlier crashes are forgotten
CRASHES_BEFORE_READY = 3  # a service that keeps ending before the first "ready" will not get better


def back_off_s(crashes: int, status: int) -> float:
    """Seconds to wait before the next start after so many ends in a row, the last one with this status.

    Who says that it cannot go on, such as for want of a checkpoint, will say so again.  Who was killed, or asks to be
    started again, could go on: whatever ended it, its absence is all that waiting would add.
    """
    says_no = status > 0 and status not in ASK_TO_BE_STARTED
    longest_s = LONGEST_BACK_OFF_S if says_no else LONGEST_AFTER_DEATH_S
    return min(longest_s, FIRST_BACK_OFF_S * 2.0 ** min(MOST_DOUBLINGS, max(0, crashes - 1)))


class RunningService(Protocol):
    """A started service; processes.Child is one."""

    @property
    def pid(self) -> int: ...

    def exit_status(self) -> int | None: ...

    def ask_to_stop(self) -> None: ...

    def wait(self, timeout_s: float) -> bool: ...

    def kill_group(self) -> None: ...


@dataclass
class Watched:
    """A service and its fortunes; changed by the supervisor's loop alone."""

    spec: ServiceSpec
    child: RunningService | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    crashes: int = 0
    restart_by: float | None = None  # asked to stop, to be started again at once; killed if it has not by then


class Supervisor:
    """Start in the given order, restart with back-off, stop in reverse order.

    Everything runs on the caller's thread: the kernel ties a tethered child to the thread that started it.
    """

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        *,
        clock: Callable[[], float],
        say: Callable[[str], None],
        hurry: threading.Event | None = None,
        start_child: Callable[[ServiceSpec], RunningService] = Child,
        ended: Callable[[ServiceSpec, int], object] = lambda _spec, _pid: None,
    ) -> None:
        """ended: told of each process that ended while it was watched, before another is started."""
        self._start_child, self._ended_one = start_child, ended
        self._watched = [Watched(spec) for spec in specs]
        self._clock, self._say = clock, say
        self._hurry = hurry or threading.Event()  # set: nobody waits for a drain any more
        self.was_ready = False  # set by the launcher once the whole service has answered

    def start(self) -> None:
        for watched in self._watched:
            self._start(watched)

    def tick(self) -> None:
        """Look at every service once; raise LaunchError when one is beyond hope."""
        now = self._clock()
        for watched in self._watched:
            if watched.child is None:
                if now >= watched.start_again_at:
                    self._start(watched)
                continue
            status = watched.child.exit_status()
            if status is not None:
                self._note_exit(watched, status, now)
            elif watched.restart_by is not None and now >= watched.restart_by:
                self._say(f"{watched.spec.name}: did not stop in time ({watched.spec.stop_timeout_s:g} s), killed")
                watched.child.kill_group()

    def run(self, stop: threading.Event) -> None:
        """Watch until asked to stop."""
        while not stop.wait(POLL_S):
            self.tick()

    def restart(self, watched: Watched) -> None:
        """Ask one service to stop; `tick` starts it again, which is no crash."""
        if watched.child is not None:
            watched.restart_by = self._clock() + watched.spec.stop_timeout_s
            watched.child.ask_to_stop()

    def stop(self) -> None:
        """Drain: each kind of service, last started first, has its own time; then its whole group is killed.

        Services of one kind (worker0, worker1 …) stop together.
        """
        for _, kind in groupby(reversed(self._watched), key=lambda w: w.spec.name.rstrip("0123456789")):
            together = [(watched, watched.child) for watched in kind if watched.child is not None]
            for watched, child in together:
                watched.child = None
                child.ask_to_stop()
            self._see_off(together)

    def _see_off(self, together: Sequence[tuple[Watched, RunningService]]) -> None:
        for watched, child in together:
            if not self._ended(child, watched.spec.stop_timeout_s):
                self._say(f"{watched.spec.name}: did not stop in time ({watched.spec.stop_timeout_s:g} s), killed")
            child.kill_group()  # also after a clean exit: a grandchild may have been left
            self._say(f"{watched.spec.name}: stopped")

    @property
    def watched(self) -> Sequence[Watched]:
        return tuple(self._watched)

    def pids(self) -> dict[str, int]:
        """Process id of each service that runs now."""
        return {w.spec.name: w.child.pid for w in self._watched if w.child is not None}

    def _ended(self, child: RunningService, timeout_s: float) -> bool:
        give_up_at = self._clock() + timeout_s
        while not self._hurry.is_set() and self._clock() < give_up_at:
            if child.wait(POLL_S):
                return True
        return child.exit_status() is not None

    def _start(self, watched: Watched) -> None:
        watched.child = self._start_child(watched.spec)
        watched.started_at = self._clock()
        self._say(f"{watched.spec.name}: started (pid {watched.child.pid}), log {watched.spec.log_path}")

    def _note_exit(self, watched: Watched, status: int, now: float) -> None:
        assert watched.child is not None
        watched.child.kill_group()
        self._ended_one(watched.spec, watched.child.pid)
        watched.child = None
        if watched.restart_by is not None:
            watched.restart_by = None
            self._start(watched)
            return
        watched.crashes = 1 if now - watched.started_at > STEADY_AFTER_S else watched.crashes + 1
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        if watched.spec.is_vital and not self.was_ready and watched.crashes >= CRASHES_BEFORE_READY:
            tail = "\n    ".join(last_lines(watched.spec.log_path))
            raise LaunchError(
                ExitCode.SERVICE_FAILED,
                f"{watched.spec.name} ended {watched.crashes} times before it was ready ({how}); "
                f"the end of {watched.spec.log_path}:\n    {tail}",
            )
        pause_s = back_off_s(watched.crashes, status)
        watched.start_again_at = now + pause_s
        self._say(f"{watched.spec.name}: ended ({how}); starting again in {pause_s:g} s")
