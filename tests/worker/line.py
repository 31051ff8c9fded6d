"""What lies between a worker and its stores, so that a test can lose the worker as SIGSTOP does."""

import threading
from collections.abc import Callable
from dataclasses import replace

from contract.stores.interfaces import Stores

LONGEST_S = 60.0  # for a test that forgot to thaw


class Line:
    """While it is frozen nothing of the worker reaches jobs, segments, voices, chunks or the registry: its calls wait,
    and come late once it is thawed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_frozen = False
        self._under_way = 0

    def to(self, stores: Stores) -> Stores:
        cut = {name: _Over(self, getattr(stores, name)) for name in ("jobs", "segments", "voices", "chunks", "workers")}
        return replace(stores, **cut)

    def freeze(self) -> None:
        """From when it returns; what is under way has reached the store by then."""
        with self._changed:
            self._is_frozen = True
            assert self._changed.wait_for(lambda: not self._under_way, LONGEST_S)

    def thaw(self) -> None:
        with self._changed:
            self._is_frozen = False
            self._changed.notify_all()

    def pass_on(self, call: Callable[..., object], *args: object, **options: object) -> object:
        with self._changed:
            assert self._changed.wait_for(lambda: not self._is_frozen, LONGEST_S), "a worker was left frozen"
            self._under_way += 1
        try:
            return call(*args, **options)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()


class _Over:
    """A store, over a line."""

    def __init__(self, line: Line, store: object) -> None:
        self._line, self._store = line, store

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if not callable(found):
            return found
        return lambda *args, **options: self._line.pass_on(found, *args, **options)
