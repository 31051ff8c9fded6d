"""A rolling restart: SIGHUP to the launcher renews API and workers without a request being lost.

The API renews itself (gunicorn starts new processes and lets the old ones end what they do).  Workers are renewed one
after another, the next once the former is ready again; what a draining worker cannot end goes back to the queue.  With
a single worker nobody speaks while its successor loads; what comes meanwhile is accepted and waits, for two minutes at
most.
"""

import os
from collections import deque
from collections.abc import Callable

from cli.supervisor import Supervisor, Watched


class Rolling:
    """Driven by `tick`, on the supervisor's thread.

    is_up: whether the service of this name, now with this pid, is ready for work
    is_leaving: told before a process is asked to stop, so that its successor is waited for
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        is_up: Callable[[str, int], bool],
        say: Callable[[str], None],
        is_leaving: Callable[[int], object] = lambda _pid: None,
    ) -> None:
        self._supervisor, self._is_up, self._say, self._is_leaving = supervisor, is_up, say, is_leaving
        self._waiting: deque[Watched] = deque()
        self._current: tuple[Watched, int] | None = None  # and the pid it had

    @property
    def is_under_way(self) -> bool:
        return self._current is not None or bool(self._waiting)

    def begin(self) -> None:
        """Once more from the start, if one is under way."""
        self._waiting = deque(watched for watched in self._supervisor.watched if watched.spec.renews)
        self._say("renewing " + ", ".join(watched.spec.name for watched in self._waiting))

    def tick(self) -> None:
        if self._current is not None:
            watched, old_pid = self._current
            if watched.child is None or watched.child.pid == old_pid:
                return
            if not self._is_up(watched.spec.name, watched.child.pid):
                return
            self._say(f"{watched.spec.name}: renewed")
            self._current = None
        while self._current is None and self._waiting:
            self._renew(self._waiting.popleft())

    def _renew(self, watched: Watched) -> None:
        if watched.child is None:  # it ended by itself, and is started by the supervisor
            return
        if watched.spec.renew_signal is not None:
            os.kill(watched.child.pid, watched.spec.renew_signal)
            return
        self._current = (watched, watched.child.pid)
        self._is_leaving(watched.child.pid)
        self._supervisor.restart(watched)
