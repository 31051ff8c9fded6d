"""Who is prepared next, who runs in the next step.  Plain Python: no tensor, no clock, no thread.

A segment waits to be prepared (phones → durations → conditioning), then waits as a row for a free
place, then runs one step at a time among rows that may be at other steps.

Order is by `urgent_at_s`: when the segment's sound is wanted.  A request's later segments are wanted
later, so a book does not block a sentence; and as time only moves on, whoever waits is overtaken by
finitely many, so nobody starves.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ticket:
    """A segment's place in the queues."""

    request_id: str
    index: int
    steps: int
    urgent_at_s: float
    deadline_s: float | None = None

    @property
    def order(self) -> tuple[float, str, int]:
        return (self.urgent_at_s, self.request_id, self.index)


@dataclass(eq=False)
class Row(Generic[T]):
    """A prepared segment.  `steps_done` is raised by Scheduler.advance; `payload` is the runner's."""

    ticket: Ticket
    latent_frames: int
    payload: T
    steps_done: int = 0

    @property
    def is_finished(self) -> bool:
        return self.steps_done >= self.ticket.steps


@dataclass(frozen=True)
class Batch(Generic[T]):
    """Rows that run the next step together."""

    rows: tuple[Row[T], ...]

    def __len__(self) -> int:
        return len(self.rows)


class Scheduler(Generic[T]):
    """The queues.  Changed by the engine's loop only."""

    def __init__(self, *, max_rows: int, max_latent_frames: int | None = None) -> None:
        """max_latent_frames: rows × the longest row, padding included; a lone row may exceed it."""
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, not {max_rows}")
        self.max_rows = max_rows
        self.max_latent_frames = max_latent_frames
        self._unprepared: list[tuple[tuple[float, str, int], Ticket]] = []
        self._waiting: list[tuple[tuple[float, str, int], Row[T]]] = []
        self._active: list[Row[T]] = []
        self._deadlines_s: dict[str, float] = {}

    @property
    def is_idle(self) -> bool:
        return not (self._unprepared or self._waiting or self._active)

    @property
    def queued(self) -> int:
        """Segments that do not run yet."""
        return len(self._unprepared) + len(self._waiting)

    @property
    def active(self) -> int:
        return len(self._active)

    def add(self, ticket: Ticket) -> None:
        """Let a segment queue for its preparation."""
        if ticket.steps < 1:
            raise ValueError(f"a segment needs at least one step, not {ticket.steps}")
        heapq.heappush(self._unprepared, (ticket.order, ticket))
        if ticket.deadline_s is not None:
            self._deadlines_s[ticket.request_id] = ticket.deadline_s

    def next_to_prepare(self) -> Ticket | None:
        """The most urgent unprepared segment; None while enough prepared rows wait for a place."""
        if not self._unprepared:
            return None
        most_urgent = self._unprepared[0][0]
        if len(self._waiting) >= self.max_rows and self._waiting[0][0] <= most_urgent:
            return None
        return heapq.heappop(self._unprepared)[1]

    def ready(self, row: Row[T]) -> None:
        """A prepared segment may now run."""
        heapq.heappush(self._waiting, (row.ticket.order, row))

    def next_batch(self) -> Batch[T]:
        """Admit waiting rows while they fit; all that are active run one step."""
        while self._waiting and self._fits(self._waiting[0][1]):
            self._active.append(heapq.heappop(self._waiting)[1])
        return Batch(tuple(self._active))

    def advance(self, batch: Batch[T]) -> tuple[Row[T], ...]:
        """Count the step that `batch` has run; rows that are through leave, and are returned."""
        for row in batch.rows:
            row.steps_done += 1
        finished = tuple(row for row in self._active if row.is_finished)
        self._active = [row for row in self._active if not row.is_finished]
        return finished

    def late(self, now_s: float) -> dict[str, float]:
        """Requests past their deadline, and by how many seconds."""
        return {i: now_s - at_s for i, at_s in self._deadlines_s.items() if at_s <= now_s}

    def drop(self, request_id: str) -> None:
        """Forget a request that is over, with every segment it has left."""
        self._deadlines_s.pop(request_id, None)
        self._unprepared = [item for item in self._unprepared if item[1].request_id != request_id]
        heapq.heapify(self._unprepared)
        self._waiting = [item for item in self._waiting if item[1].ticket.request_id != request_id]
        heapq.heapify(self._waiting)
        self._active = [row for row in self._active if row.ticket.request_id != request_id]

    def _fits(self, row: Row[T]) -> bool:
        if not self._active:
            return True
        if len(self._active) >= self.max_rows:
            return False
        longest = max(row.latent_frames, *(other.latent_frames for other in self._active))
        within = (len(self._active) + 1) * longest
        return self.max_latent_frames is None or within <= self.max_latent_frames
