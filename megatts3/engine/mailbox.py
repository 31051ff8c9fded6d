"""From callers' threads to the engine's: requests that arrive, and calls to be made between steps."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

from megatts3.errors import EngineStopped

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
V = TypeVar("V")


class Mailbox(Generic[T]):
    """Filled by any thread, emptied by the lanes.  `changes` rises with whatever a lane that rests should see."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrived: deque[T] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._closed = False
        self.changes = 0

    @property
    def is_closed(self) -> bool:
        return self._closed

    def put(self, item: T) -> None:
        """Hand something in; EngineStopped when closed."""
        with self._changed:
            if self._closed:
                raise EngineStopped
            self._arrived.append(item)
            self._tell()

    def call(self, work: Callable[[], V]) -> V:
        """Have `work` done by the emptying thread, wait for it, and return or raise what it does."""
        future: Future[V] = Future()

        def run() -> None:
            if self._closed:
                future.set_exception(EngineStopped())
                return
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  it is the caller's, on the caller's thread
                future.set_exception(error)

        with self._changed:
            if self._closed:
                raise EngineStopped
            self._calls.append(run)
            self._tell()
        return future.result()

    def close(self) -> None:
        """Take nothing more, and wake who waits."""
        with self._changed:
            self._closed = True
            self._tell()

    def wake(self) -> None:
        """Have those that wait look again."""
        with self._changed:
            self._tell()

    def wait(self, seen: int, timeout_s: float | None = None) -> None:
        """Wait until there is a change that was not `seen`."""
        with self._changed:
            self._changed.wait_for(lambda: self.changes != seen, timeout_s)

    def _tell(self) -> None:
        self.changes += 1
        self._changed.notify_all()

    def empty(self, *, after_each: Callable[[], None] = lambda: None) -> list[T]:
        """Make the calls that wait, and return what arrived.  `after_each` call it is told."""
        with self._changed:
            arrived, calls = list(self._arrived), list(self._calls)
            self._arrived.clear()
            self._calls.clear()
        for run in calls:
            run()
            after_each()
        return arrived
