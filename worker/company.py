"""Who runs beside whom in this process, so that a crash tells which job it was.

What a worker was lost with before is a suspect.  It runs alone: nothing else is spoken, rendered or prepared here
meanwhile, so should this worker go too, it is known why, and nobody who merely ran beside it is blamed.  First come,
first served: suspects and the rest take turns.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(eq=False, frozen=True)
class _Guest:
    alone: bool


class Company:
    """Two ways in, `beside` others and `alone`; safe from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[_Guest] = deque()
        self._inside = 0
        self._is_alone = False

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Together with whoever came in so; waits for one that is alone, or that came before and wants to be."""
        with self._entered(_Guest(alone=False)):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until everybody who came before has left; who comes later waits."""
        with self._entered(_Guest(alone=True)):
            yield

    @contextmanager
    def _entered(self, guest: _Guest) -> Iterator[None]:
        with self._changed:
            self._waiting.append(guest)
            self._changed.wait_for(lambda: self._may_enter(guest))
            self._waiting.remove(guest)
            self._inside += 1
            self._is_alone = guest.alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._is_alone = False
                self._changed.notify_all()

    def _may_enter(self, guest: _Guest) -> bool:
        if guest.alone:
            return self._inside == 0 and self._waiting[0] is guest
        if self._is_alone:
            return False
        return not any(other.alone for other in self._before(guest))

    def _before(self, guest: _Guest) -> Iterator[_Guest]:
        for other in self._waiting:
            if other is guest:
                return
            yield other
