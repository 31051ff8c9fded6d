"""The few threads that join whatever jobs of this process are spread over the workers.

A job waits here without a thread: it is looked at when it is rung for (one of its segments ended, a cancel came) and
every now and then, since an announcement may be lost.  Each look takes a few segments; conversation goes first.
"""

import threading
import time
from typing import Protocol

from contract.schemas import Priority

THREADS = 3
FOR_BATCH = 2  # of these, at most; one is left for who waits for a sentence
LOOK_AGAIN_S = 1.0
MOST = 64  # jobs under way here beyond which no further book is begun: each has a manuscript in memory


class Joinable(Protocol):
    """A job being joined.  `advance` is never called twice at once."""

    @property
    def name(self) -> str:
        """By which it is rung for."""

    @property
    def priority(self) -> Priority: ...

    def advance(self) -> bool | None:
        """Take what is there: True at the end, False to be asked again at once, None to be rung for.

        Raises nothing: how a job ends is its own affair.
        """


class Joiners:
    """Safe from many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[str, Joinable] = {}
        self._rung: dict[str, None] = {}  # in order
        self._busy: set[str] = set()
        self._look_at_s = 0.0  # at all of them
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Once; a second call does nothing."""
        if not self._threads:
            names = [f"join{n}" for n in range(THREADS)]
            self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def add(self, job: Joinable) -> None:
        with self._changed:
            self._jobs[job.name] = job
        self.ring(job.name)

    def ring(self, name: str) -> None:
        """Something happened to this job; one that is not here is not minded."""
        with self._changed:
            if name in self._jobs:
                self._rung[name] = None
                self._changed.notify()

    def ring_all(self) -> None:
        """Anything may have happened."""
        with self._changed:
            self._rung |= dict.fromkeys(self._jobs)
            self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        with self._changed:
            return len(self._jobs) >= MOST

    def wait_until_gone(self, name: str, timeout_s: float) -> bool:
        """Whether a job is not, or no longer, here."""
        with self._changed:
            return self._changed.wait_for(lambda: name not in self._jobs, timeout_s)

    def _work(self) -> None:
        while self._looked_at_one():  # between two a thread keeps none alive
            pass

    def _looked_at_one(self) -> bool:
        """False at the end."""
        job = self._next()
        if job is None:
            return False
        ended = job.advance()
        with self._changed:
            self._busy.discard(job.name)
            if ended:
                del self._jobs[job.name]
                self._rung.pop(job.name, None)
            elif ended is False:
                self._rung[job.name] = None
            self._changed.notify_all()
        return True

    def _next(self) -> Joinable | None:
        with self._changed:
            while not self._stopping:
                batch = sum(self._jobs[name].priority is Priority.BATCH for name in self._busy)
                free = [self._jobs[name] for name in self._rung if name not in self._busy]
                if batch >= FOR_BATCH:
                    free = [job for job in free if job.priority is Priority.INTERACTIVE]
                if free:
                    job = min(free, key=lambda each: each.priority is not Priority.INTERACTIVE)
                    del self._rung[job.name]
                    self._busy.add(job.name)
                    return job
                now_s = time.monotonic()
                if now_s >= self._look_at_s:
                    self._look_at_s = now_s + LOOK_AGAIN_S
                    self._rung |= dict.fromkeys(self._jobs)
                    if self._jobs:
                        continue
                self._changed.wait(self._look_at_s - now_s)
            return None
