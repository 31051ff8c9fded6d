"""Waiting for a job or a voice: one Redis subscriber per process serves every waiter.

The record is the truth and the announcement only a reason to look at it again.  So nothing is lost: a waiter
registers first and looks then (an announcement in between finds it registered), a lost connection rings every
bell once it is back, and each waiter looks by itself every few seconds whatever happens.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from contract.errors import ErrorCode, ServiceError
from contract.stores.interfaces import EventKind, Events
from contract.telemetry import event_log

log = event_log(__name__)
T = TypeVar("T")
IsNews = Callable[[str], bool]

_RECHECK_S = 3.0  # look at the record this often although nothing was announced
_GLANCE_S = 0.5  # is the client still there?


class ClientGone(Exception):
    """The client hung up while we waited for it."""


class WaitRoom:
    """Bells by id, rung by one listener thread that starts with the first waiter."""

    def __init__(self, events: Events, *, recheck_s: float = _RECHECK_S) -> None:
        self._events = events
        self._recheck_s = recheck_s
        self._lock = threading.Lock()
        self._bells: defaultdict[str, dict[threading.Event, IsNews]] = defaultdict(dict)
        self._listener: threading.Thread | None = None
        self._stop = threading.Event()
        self._draining = threading.Event()

    def wait(
        self,
        record_id: str,
        look: Callable[[], T | None],
        *,
        timeout_s: float,
        is_gone: Callable[[], bool] = lambda: False,
        may_end_early: bool = False,
        is_news: Callable[[str], bool] = lambda _: True,
        also: str | None = None,
        bell: threading.Event | None = None,
    ) -> T | None:
        """The first answer of `look` that is not None; None when the time is up.

        is_news: whether a record with the announced status is worth a look.
        also: another id whose announcements are a reason to look
        bell: of `registered`, by whoever knew the record when it was hung up: no look before there is a reason
        may_end_early: the caller can ask again; its time is up when this process is to stop.
        Raises ClientGone.  A store that is away meanwhile is waited for, as everything else is.
        """
        deadline = time.monotonic() + timeout_s
        is_known = bell is not None
        hung_up = nullcontext(bell) if bell else self.registered({record_id, also or record_id}, is_news)
        with hung_up as ours:
            while True:
                if not is_known or ours.is_set():
                    ours.clear()
                    found = _look_again(look)
                    if found is not None:
                        return found
                is_known = False
                recheck_at = min(deadline, time.monotonic() + self._recheck_s)
                while not ours.is_set() and (left := recheck_at - time.monotonic()) > 0:
                    if is_gone():
                        raise ClientGone
                    if may_end_early and self._draining.is_set():
                        return _look_again(look)
                    ours.wait(min(left, _GLANCE_S))
                if time.monotonic() >= deadline:
                    return _look_again(look)

    def waiters(self) -> int:
        """How many wait now, in this process."""
        with self._lock:
            return len({bell for bells in self._bells.values() for bell in bells})

    def drain(self) -> None:
        """This process is to stop: who only looks on is answered now, who waits for speech still gets it."""
        self._draining.set()

    def close(self) -> None:
        """Stop the listener; waiters go on by themselves."""
        self._stop.set()
        self._ring_all()

    @contextmanager
    def registered(self, ids: Collection[str], is_news: IsNews = lambda _: True) -> Iterator[threading.Event]:
        """A bell that rings at each announcement of these ids that is news, and when one may have been missed."""
        bell = threading.Event()
        with self._lock:
            for record_id in ids:
                self._bells[record_id][bell] = is_news
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(target=self._listen, name="wait-room", daemon=True)
                self._listener.start()
        try:
            yield bell
        finally:
            with self._lock:
                for record_id in ids:
                    del self._bells[record_id][bell]
                    if not self._bells[record_id]:
                        del self._bells[record_id]

    def _listen(self) -> None:
        try:
            for event in self._events.listen(self._stop):
                if event.kind is EventKind.SEGMENT:  # the workers' own affair: the job's record tells of it
                    continue
                if event.kind is EventKind.RESYNC:
                    self._ring_all()
                else:
                    self._ring(event.id, event.status)
        except ServiceError:  # the next waiter starts another listener; those here look by themselves
            log.warning("wait_room_lost_its_events")

    def _ring_all(self) -> None:
        """Anything may have happened."""
        with self._lock:
            rung = [bell for bells in self._bells.values() for bell in bells]
        for bell in rung:
            bell.set()

    def _ring(self, record_id: str, status: str) -> None:
        with self._lock:
            rung = [bell for bell, is_news in self._bells.get(record_id, {}).items() if is_news(status)]
        for bell in rung:
            bell.set()


def _look_again(look: Callable[[], T | None]) -> T | None:
    try:
        return look()
    except ServiceError as error:
        if error.code is not ErrorCode.STORE_UNAVAILABLE:
            raise
        return None
