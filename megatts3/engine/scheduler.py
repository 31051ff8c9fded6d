"""Who is prepared next, who runs in the next step.  Plain Python: no tensor, no clock, no thread.

A segment waits to be prepared (phones → durations → conditioning), then is a row until its steps are done.
Every step is decided anew: the rows of a batch are chosen from all that are prepared, at whatever step each is,
so that what is urgent runs from the very next step on and others pause where they are.  Where several lanes run
steps side by side, a row belongs to the lane that took it until its step is done.

Order inside a class is by `urgent_at_s`, the time at which the segment's sound is wanted (earliest first).  As
time only moves on, whoever waits is overtaken by finitely many.  Interactive rows go before batch rows, but for
one place in one of `AGEING_STEPS` steps, which is the batch rows' own: a book cannot hold up a line of
conversation by more than a step, nor starve behind a crowd of them.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from megatts3.engine.step_cost import StepCost

T = TypeVar("T")

AGEING_STEPS = 4

_Order = tuple[bool, float, str, int]


@dataclass(frozen=True)
class Ticket:
    """A segment's place in the queues."""

    request_id: str
    index: int
    steps: int
    urgent_at_s: float
    deadline_s: float | None = None
    is_batch: bool = False

    @property
    def order(self) -> _Order:
        return (self.is_batch, self.urgent_at_s, self.request_id, self.index)


@dataclass(eq=False)
class Row(Generic[T]):
    """A prepared segment.  `steps_done` is raised by Scheduler.advance; `payload` is the runner's."""

    ticket: Ticket
    latent_frames: int
    payload: T
    steps_done: int = 0
    prepare_from: float = 0.0  # these four on the engine's clock, set by its loop
    prepare_to: float = 0.0
    steps_from: float | None = None
    steps_to: float = 0.0

    @property
    def is_finished(self) -> bool:
        return self.steps_done >= self.ticket.steps


@dataclass(frozen=True)
class Batch(Generic[T]):
    """Rows that run a lane's next step together."""

    rows: tuple[Row[T], ...]
    lane: int = 0

    def __len__(self) -> int:
        return len(self.rows)


class Scheduler(Generic[T]):
    """The queues.  Changed by the engine's loop only."""

    def __init__(
        self,
        *,
        max_rows: int,
        lanes: int = 1,
        max_active: int | None = None,
        max_latent_frames: int | None = None,
        cost: StepCost | None = None,
    ) -> None:
        """max_rows: in a step;  lanes: steps that run side by side
        max_active: prepared and unfinished, by default four times as many as can run
        max_latent_frames: of a step's rows, padding included; a lone row may exceed it
        cost: what padding costs; without it rows of any lengths share a step
        """
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, not {max_rows}")
        if lanes < 1:
            raise ValueError(f"lanes must be at least 1, not {lanes}")
        self.max_rows = max_rows
        self.places = lanes * max_rows
        self.max_active = max(self.places, max_active or 4 * self.places)
        self.max_latent_frames = max_latent_frames
        self.cost = cost
        self._unprepared: dict[bool, list[tuple[_Order, Ticket]]] = {False: [], True: []}  # by Ticket.is_batch
        self._preparing: dict[tuple[str, int], Ticket] = {}
        self._rows: list[Row[T]] = []
        self._taken: dict[int, tuple[Row[T], ...]] = {}  # by lane, while it runs their step
        self._ran_last: dict[int, tuple[Row[T], ...]] = {}  # by lane
        self._steps_without_batch_rows = 0
        self._deadlines_s: dict[str, float] = {}

    @property
    def is_idle(self) -> bool:
        return not (self._unprepared_count or self._preparing or self._rows)

    @property
    def queued(self) -> int:
        """Segments that did not run in the last step."""
        return self._unprepared_count + len(self._preparing) + len(self._rows) - self.active

    @property
    def _unprepared_count(self) -> int:
        return sum(len(heap) for heap in self._unprepared.values())

    @property
    def active(self) -> int:
        """Rows that ran in the last step of a lane and are not finished."""
        ran = {row for rows in list(self._ran_last.values()) for row in rows}
        return sum(row in ran for row in self._rows)

    @property
    def prepared(self) -> int:
        """Rows that can run, or do."""
        return len(self._rows)

    @property
    def can_be_taken(self) -> int:
        """Rows that no lane has."""
        return len(self._free())

    @property
    def has_unprepared(self) -> bool:
        return any(self._unprepared.values())

    @property
    def steps_to_a_place(self) -> int:
        """Steps until the first of the rows whose turn it is leaves its place to another; 0 while places are empty."""
        first = self._rows[: self.places]
        return min(row.ticket.steps - row.steps_done for row in first) if len(first) == self.places else 0

    def add(self, ticket: Ticket) -> None:
        """Let a segment queue for its preparation."""
        if ticket.steps < 1:
            raise ValueError(f"a segment needs at least one step, not {ticket.steps}")
        heapq.heappush(self._unprepared[ticket.is_batch], (ticket.order, ticket))
        if ticket.deadline_s is not None:
            self._deadlines_s[ticket.request_id] = ticket.deadline_s

    def next_to_prepare(self, most: int = 1) -> tuple[Ticket, ...]:
        """The most urgent unprepared segments, of one class, at most so many; each is followed by `ready` or `drop`.

        None while enough prepared rows are ahead of them; what comes before those is prepared all the same, and
        one batch segment, for the place that is theirs.  What somebody waits to begin to hear is not held up by
        what is heard later: with a request's first segment go only other first ones.
        """
        is_batch = not self._unprepared[False]
        if self._lacks_a_batch_row() and self._rows:
            is_batch, most = True, 1
        taken: list[Ticket] = []
        heap = self._unprepared[is_batch]
        while heap and len(taken) < most:
            order, ticket = heap[0]
            if self._ahead_of(order) >= self.max_active and not (is_batch and self._lacks_a_batch_row()):
                break
            if taken and taken[0].index == 0 and ticket.index != 0:
                break
            heapq.heappop(heap)
            self._preparing[(ticket.request_id, ticket.index)] = ticket
            taken.append(ticket)
        return tuple(taken)

    def _lacks_a_batch_row(self) -> bool:
        """Batch segments wait, and none of them could take the place that is theirs now and then."""
        known = [*(row.ticket for row in self._rows), *self._preparing.values()]
        return bool(self._unprepared[True]) and not any(ticket.is_batch for ticket in known)

    def preempts(self, ticket: Ticket) -> bool:
        """Whether an unprepared segment comes before this one, which is being prepared."""
        return any(heap and heap[0][0] < ticket.order for heap in self._unprepared.values())

    def outranks_rows(self, ticket: Ticket) -> bool:
        """Whether a segment comes before every prepared row."""
        return not self._rows or ticket.order < self._rows[0].ticket.order

    def ready(self, row: Row[T]) -> None:
        """A prepared segment may now run; one whose request was dropped meanwhile is forgotten."""
        if self._preparing.pop((row.ticket.request_id, row.ticket.index), None) is not None:
            self._rows.append(row)
            self._rows.sort(key=lambda each: each.ticket.order)

    def next_batch(self, lane: int = 0) -> Batch[T]:
        """The rows of a lane's next step, its own until `advance`; a lane that asks again has let go of what it had."""
        self._taken.pop(lane, None)
        chosen: list[Row[T]] = []
        for row in self._by_turn():
            if len(chosen) == self.max_rows:
                break
            if not chosen or self._fits(row, chosen):
                chosen.append(row)
        is_batch_waiting = any(row.ticket.is_batch for row in self._free())
        has_batch_row = any(row.ticket.is_batch for row in chosen)
        self._steps_without_batch_rows += 1 if is_batch_waiting else 0
        if has_batch_row or not is_batch_waiting:
            self._steps_without_batch_rows = 0
        self._taken[lane] = self._ran_last[lane] = tuple(chosen)
        return Batch(tuple(chosen), lane)

    def advance(self, batch: Batch[T]) -> tuple[Row[T], ...]:
        """Count the step that `batch` has run; rows that are through leave, and are returned."""
        self._taken.pop(batch.lane, None)
        for row in batch.rows:
            row.steps_done += 1
        finished = tuple(row for row in self._rows if row.is_finished)
        self._rows = [row for row in self._rows if not row.is_finished]
        return finished

    def late(self, now_s: float) -> dict[str, float]:
        """Requests past their deadline, and by how many seconds."""
        return {i: now_s - at_s for i, at_s in self._deadlines_s.items() if at_s <= now_s}

    def drop(self, request_id: str) -> None:
        """Forget a request that is over, with every segment it has left."""
        self._deadlines_s.pop(request_id, None)
        for heap in self._unprepared.values():
            heap[:] = [item for item in heap if item[1].request_id != request_id]
            heapq.heapify(heap)
        self._preparing = {key: t for key, t in self._preparing.items() if t.request_id != request_id}
        self._rows = [row for row in self._rows if row.ticket.request_id != request_id]

    def _free(self) -> list[Row[T]]:
        """Rows that no lane has."""
        taken = {row for rows in self._taken.values() for row in rows}
        return [row for row in self._rows if row not in taken]

    def _by_turn(self) -> Iterable[Row[T]]:
        """Rows in the order in which they get a place; one batch row comes first where it is their turn."""
        free = self._free()
        patient = next((row for row in free if row.ticket.is_batch), None)
        if patient is not None and self._steps_without_batch_rows >= AGEING_STEPS - 1:
            return [patient, *(row for row in free if row is not patient)]
        return free

    def _ahead_of(self, order: _Order) -> int:
        """Segments, prepared or on the way, that come before one of this order."""
        prepared = sum(row.ticket.order < order for row in self._rows)
        return prepared + sum(ticket.order < order for ticket in self._preparing.values())

    def _fits(self, row: Row[T], chosen: Sequence[Row[T]]) -> bool:
        lengths = [other.latent_frames for other in chosen]
        pads = self.cost is None or self.cost.pads
        together = sorted((*lengths, row.latent_frames))
        frames = len(together) * together[-1] if pads else sum(together)
        if self.max_latent_frames is not None and frames > self.max_latent_frames:
            return False
        return self.cost is None or self.cost.is_worth_joining(lengths, row.latent_frames)
