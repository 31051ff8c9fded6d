"""What is on its way: segments that become rows, recordings that become voices.

A little at a time: preparing takes its turn in slices, so that rows that run wait for it no longer than a part of a
step.  Each preparation is one lane's at a time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from megatts3.engine.preparation import Order, Preparation
from megatts3.engine.row_failure import as_row_failure, is_fatal
from megatts3.engine.scheduler import Row, Scheduler, Ticket
from megatts3.engine.voice_making import VoiceMaking
from megatts3.errors import DeviceLost, MegaTTS3Error

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from megatts3.checkpoint import Networks
    from megatts3.engine.batch import RowState
    from megatts3.engine.lanes import Lane
    from megatts3.engine.open_requests import OpenRequests
    from megatts3.engine.voice_states import VoiceStates

    Outside = Callable[[Lane, str], AbstractContextManager[None]]

_SLICE_OF_STEP = 0.25  # so much of a step's time may go into preparing while there is enough to run …
_SLICE_WITH_ROOM = 1.0  # … and so much while the step has room for more rows
_SLICE_S = 0.005  # and always so much
_AHEAD_STEPS = 8  # before a place falls free the next row for it is prepared; sooner it would delay those that run


class Preparing:
    """Used under the loop's lock, which it gives up while tensors are at work.

    step_s: how long the last step took, the loop's to set
    """

    def __init__(
        self,
        networks: Networks,
        voices: VoiceStates,
        scheduler: Scheduler[RowState],
        open_requests: OpenRequests,
        *,
        together: int,
        condition_together: int,
        outside: Outside,
        fail: Callable[[str, MegaTTS3Error], None],
        count: Callable[..., None],
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        """together: segments whose durations are found in one batch;  condition_together: likewise
        outside: tensor work of a lane, with the lock given up
        """
        self._networks, self._voices, self._scheduler, self._open = networks, voices, scheduler, open_requests
        self._together, self._condition_together = together, condition_together
        self._outside, self._fail, self._count, self._clock, self._timer = outside, fail, count, clock, timer
        self._preparations: list[Preparation] = []
        self.voices_made = VoiceMaking(networks)
        self._voices_taken = False
        self.step_s = 0.0

    def forget(self, request_id: str) -> None:
        """A request is over."""
        for preparation in self._preparations:
            preparation.forget(request_id)

    def go_on(self, lane: Lane, *, others_rest: bool) -> bool:
        """Prepare until the slice is spent; with nothing to run, until something can.  False: there was nothing.

        Raises DeviceLost.
        """
        if others_rest and self._scheduler.can_be_taken:
            return False  # a lane that rests is better placed
        began, has_worked = self._timer(), False
        while (preparation := self._next_preparation()) is not None and not self._is_too_early(preparation):
            self._advance(lane, preparation)
            has_worked = True
            if self._scheduler.can_be_taken and self._timer() - began >= self._slice_s():
                break
        return self._make_voices(lane) or has_worked

    @property
    def has_more(self) -> bool:
        """Whether one more lane would find something to do."""
        is_soon = self._scheduler.steps_to_a_place <= _AHEAD_STEPS
        waits = self._scheduler.has_unprepared or bool(self._free_preparations())
        return (is_soon and waits) or not (self._voices_taken or self.voices_made.is_idle)

    def _is_too_early(self, preparation: Preparation) -> bool:
        """Whether what is next to prepare would only wait, prepared, while it had held up the rows that run."""
        is_urgent = self._scheduler.outranks_rows(preparation.most_urgent)
        return not is_urgent and self._scheduler.steps_to_a_place > _AHEAD_STEPS

    def _make_voices(self, lane: Lane) -> bool:
        """The same for voices: a slice while rows run, until a request arrives to be looked at otherwise."""
        if self._voices_taken or self.voices_made.is_idle:
            return False
        began, self._voices_taken = self._timer(), True
        try:
            while not self.voices_made.is_idle:
                with self._outside(lane, "prepare_s"):
                    self.voices_made.advance()
                if self._timer() - began >= max(_SLICE_S, self.step_s * _SLICE_OF_STEP):
                    break
        finally:
            self._voices_taken = False
        return True

    def _slice_s(self) -> float:
        """How long preparing may go on before the next step; what is more urgent than any row is not cut short."""
        free = self._free_preparations()
        if free and self._scheduler.outranks_rows(free[0].most_urgent):
            return math.inf
        has_room = self._scheduler.prepared < self._scheduler.places
        return max(_SLICE_S, self.step_s * (_SLICE_WITH_ROOM if has_room else _SLICE_OF_STEP))

    def _free_preparations(self) -> list[Preparation]:
        """Those that no lane is at, the most urgent one first."""
        return [each for each in self._preparations if not (each.is_done or each.is_taken)]

    def _next_preparation(self) -> Preparation | None:
        """The preparation to go on with, begun if need be; None for none."""
        self._preparations = [each for each in self._preparations if not each.is_done]
        free = self._free_preparations()
        if not free or self._scheduler.preempts(free[0].most_urgent):
            tickets = self._scheduler.next_to_prepare(self._together)
            orders = [order for ticket in tickets if (order := self._order(ticket)) is not None]
            if orders:
                preparation = Preparation(
                    self._networks,
                    self._voices,
                    orders,
                    together=self._condition_together,
                    began_at=self._clock(),
                )
                self._preparations.insert(0, preparation)
                return preparation
        return free[0] if free else None

    def _order(self, ticket: Ticket) -> Order | None:
        if (opened := self._open.get(ticket.request_id)) is None:
            return None
        request, passage = opened.request, opened.request.passage
        return Order(
            ticket,
            opened.segments[ticket.index],
            ticket.index + (passage.first if passage else 0),
            passage.count if passage else len(opened.segments),
            request.voice,
            request.params,
        )

    def _advance(self, lane: Lane, preparation: Preparation) -> None:
        preparation.is_taken = True
        try:
            with self._outside(lane, "prepare_s"):
                prepared = preparation.advance()
        except Exception as error:
            self._preparations.remove(preparation)
            if is_fatal(error):
                raise DeviceLost(type(error).__name__) from error
            for order in preparation.orders:
                self._fail(order.ticket.request_id, as_row_failure(order.ticket.request_id, error))
            return
        finally:
            preparation.is_taken = False
        for order, found in prepared:
            if isinstance(found, MegaTTS3Error):
                self._fail(order.ticket.request_id, found)
            else:
                row = Row(order.ticket, found.latent_frames, found)
                row.prepare_from, row.prepare_to = preparation.began_at, self._clock()
                self._scheduler.ready(row)
                self._count(prepared=1)
