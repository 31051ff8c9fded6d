"""Who runs beside whom in this process, so that a crash tells which job it was.

What a worker was lost with before is a suspect.  It runs alone: nothing else is spoken, rendered or prepared here
meanwhile, so should this worker go too, it is known why, and nobody who merely ran beside it is blamed.

To be alone means to wait until everybody else has left, so suspects that wait together go in one after another, for one
such wait; after a while of that it is the turn of who waits beside them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

TURN_S = 5.0  # after which no further suspect goes in before the rest: a few segments' time


@dataclass(eq=False, frozen=True)
class _Guest:
    alone: bool


class Company:
    """Two ways in, `beside` others and `alone`; safe from many threads."""

    def __init__(self, *, turn_s: float = TURN_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._turn_s, self._clock = turn_s, clock
        self._changed = threading.Condition()
        self._waiting: deque[_Guest] = deque()
        self._inside = 0
        self._is_alone = False
        self._turn_until: float | None = None  # while suspects go in one after another

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Together with whoever came in so; waits for those that are alone, or that came before and want to be."""
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
            if guest.alone and self._turn_until is None:
                self._turn_until = self._clock() + self._turn_s
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                if self._is_alone:
                    self._is_alone = False
                    self._look_at_the_turn()
                self._changed.notify_all()

    def _look_at_the_turn(self) -> None:
        """One that was alone has left."""
        suspects = [guest for guest in self._waiting if guest.alone]
        assert self._turn_until is not None
        if not suspects or self._clock() >= self._turn_until:
            self._turn_until = None
            rest = [guest for guest in self._waiting if not guest.alone]
            self._waiting = deque([*rest, *suspects])

    def _may_enter(self, guest: _Guest) -> bool:
        if self._is_alone:
            return False
        if self._turn_until is not None:
            return guest is next(each for each in self._waiting if each.alone)
        if guest.alone:
            return self._inside == 0 and self._waiting[0] is guest
        return not any(other.alone for other in self._before(guest))

    def _before(self, guest: _Guest) -> Iterator[_Guest]:
        for other in self._waiting:
            if other is guest:
                return
            yield other
