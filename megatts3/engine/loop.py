"""One turn of the engine: who goes on, what is prepared, one step, what is finished.  One thread's own.

Between two steps cancels and deadlines are obeyed; preparing takes its turn in slices, so that rows that run wait
for it no longer than a part of a step.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from megatts3.engine.counters import Counters
from megatts3.engine.fair_share import FairShare
from megatts3.engine.preparation import Order, Preparation
from megatts3.engine.request import Priority, SegmentResult, SegmentTimes
from megatts3.engine.row_failure import as_row_failure, is_fatal
from megatts3.engine.scheduler import Batch, Row, Scheduler, Ticket
from megatts3.engine.voice_making import VoiceMaking
from megatts3.errors import Cancelled, DeadlineExceeded, DeviceLost, EngineStopped, MegaTTS3Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from megatts3.audio.waveform import Waveform
    from megatts3.engine.batch import RowState
    from megatts3.engine.open_requests import OpenRequest, OpenRequests
    from megatts3.engine.runner import Runner
    from megatts3.engine.voice_states import VoiceStates

_PHONE_S = 0.09  # of speech per phone, roughly: when a request's later segments will be wanted
_SLICE_OF_STEP = 0.25  # so much of a step's time may go into preparing while there is enough to run …
_SLICE_WITH_ROOM = 1.0  # … and so much while the step has room for more rows
_SLICE_S = 0.005  # and always so much
_AHEAD_STEPS = 8  # before a place falls free the next row for it is prepared; sooner it would delay those that run
_AFTER_SHORTAGE = 0.8  # of the frames for which memory was short: how many a step may have from then on


class Loop:
    """Everything that the loop's thread alone changes."""

    def __init__(
        self,
        runner: Runner,
        voices: VoiceStates,
        scheduler: Scheduler[RowState],
        open_requests: OpenRequests,
        *,
        prepare_together: int,
        condition_together: int,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        """prepare_together: segments whose durations are found in one batch;  condition_together: likewise"""
        self.runner, self.scheduler, self.counters = runner, scheduler, Counters()
        self._voices, self._open, self._clock, self._timer = voices, open_requests, clock, timer
        self._prepare_together, self._condition_together = prepare_together, condition_together
        self.voice_making = VoiceMaking(runner.networks)
        self._preparations: list[Preparation] = []
        self._shares = FairShare()
        self._step_s = 0.0

    @property
    def is_idle(self) -> bool:
        return self.scheduler.is_idle and self.voice_making.is_idle

    def take_in(self, opened: OpenRequest) -> None:
        """Let a request's segments queue."""
        request = opened.request
        if self._open.get(opened.id) is not opened:  # cancelled meanwhile
            return
        lasting = [len(segment.phones) * _PHONE_S / request.params.speed for segment in opened.segments]
        wanted = self._shares.wanted(request.client, opened.id, self._clock(), lasting)
        for index, wanted_s in enumerate(wanted):
            self.scheduler.add(
                Ticket(
                    opened.id,
                    index,
                    request.params.steps,
                    wanted_s if request.deadline_s is None else min(wanted_s, request.deadline_s),
                    request.deadline_s,
                    is_batch=request.priority is Priority.BATCH,
                )
            )

    def turn(self) -> None:
        """One step of every row that is chosen, and what has to be done around it.  Raises DeviceLost."""
        began, before = self._timer(), self.counters
        self._let_go()
        self._prepare()
        batch = self.scheduler.next_batch()
        self._denoise(batch)
        if finished := self.scheduler.advance(batch):
            self._decode(finished)
        spent = self.counters.minus(before)
        rest_s = self._timer() - began - spent.step_s - spent.prepare_s - spent.decode_s
        self.count(turns=1, scheduler_s=max(0.0, rest_s))

    def count(self, **more: float) -> None:
        self.counters = self.counters.plus(**more)

    def fail(self, request_id: str, error: MegaTTS3Error) -> None:
        """End a request without its sound."""
        if (opened := self._close(request_id)) is not None:
            opened.submission.fail(error)
            if not isinstance(error, Cancelled | EngineStopped):
                self.count(failed=1)

    def _close(self, request_id: str) -> OpenRequest | None:
        self.scheduler.drop(request_id)
        for preparation in self._preparations:
            preparation.forget(request_id)
        if (opened := self._open.remove(request_id)) is not None:
            self._shares.over(opened.request.client, request_id)
        return opened

    def _let_go(self) -> None:
        """Drop requests that were cancelled or are late."""
        for request_id in self._open.cancelled():
            self.fail(request_id, Cancelled(request_id))
        for request_id, late_s in self.scheduler.late(self._clock()).items():
            self.fail(request_id, DeadlineExceeded(request_id, late_s))

    # ---- preparing

    def _prepare(self) -> None:
        """Prepare until the slice is spent; with nothing to run, until something can."""
        began = self._timer()
        while self._begin_preparation() and not self._is_too_early():
            self._advance_preparation()
            spent_s = self._timer() - began
            if self.scheduler.prepared and spent_s >= self._slice_s():
                break
        self._make_voices()
        self.count(prepare_s=self._timer() - began)

    def _is_too_early(self) -> bool:
        """Whether what is next to prepare would only wait, prepared, while it had held up the rows that run."""
        is_urgent = self.scheduler.outranks_rows(self._preparations[0].most_urgent)
        return not is_urgent and self.scheduler.steps_to_a_place > _AHEAD_STEPS

    def _make_voices(self) -> None:
        """The same for voices: a slice while rows run, until a request arrives to be looked at otherwise."""
        began = self._timer()
        while not self.voice_making.is_idle:
            self.voice_making.advance()
            if self._timer() - began >= max(_SLICE_S, self._step_s * _SLICE_OF_STEP):
                break

    def _slice_s(self) -> float:
        """How long preparing may go on before the next step; what is more urgent than any row is not cut short."""
        if self._preparations and self.scheduler.outranks_rows(self._preparations[0].most_urgent):
            return math.inf
        has_room = self.scheduler.prepared < self.scheduler.max_rows
        return max(_SLICE_S, self._step_s * (_SLICE_WITH_ROOM if has_room else _SLICE_OF_STEP))

    def _begin_preparation(self) -> bool:
        """See to it that there is a preparation to go on with, the most urgent one first; False for none."""
        self._preparations = [each for each in self._preparations if not each.is_done]
        if not self._preparations or self.scheduler.preempts(self._preparations[0].most_urgent):
            tickets = self.scheduler.next_to_prepare(self._prepare_together)
            orders = [order for ticket in tickets if (order := self._order(ticket)) is not None]
            if orders:
                preparation = Preparation(
                    self.runner.networks,
                    self._voices,
                    orders,
                    together=self._condition_together,
                    began_at=self._clock(),
                )
                self._preparations.insert(0, preparation)
        return bool(self._preparations)

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

    def _advance_preparation(self) -> None:
        preparation = self._preparations[0]
        try:
            prepared = preparation.advance()
        except Exception as error:
            self._preparations.remove(preparation)
            if is_fatal(error):
                raise DeviceLost(type(error).__name__) from error
            for order in preparation.orders:
                self.fail(order.ticket.request_id, as_row_failure(order.ticket.request_id, error))
            return
        for order, found in prepared:
            if isinstance(found, MegaTTS3Error):
                self.fail(order.ticket.request_id, found)
            else:
                row = Row(order.ticket, found.latent_frames, found)
                row.prepare_from, row.prepare_to = preparation.began_at, self._clock()
                self.scheduler.ready(row)
                self.count(prepared=1)

    # ---- running

    def _denoise(self, batch: Batch[RowState]) -> None:
        runner = self.runner
        forward_s, splits = runner.forward_s, runner.splits
        began_at = self._clock()
        failures = runner.denoise(batch.rows)
        ended_at = self._clock()
        if not batch.rows:
            return
        for row in batch.rows:
            row.steps_from = began_at if row.steps_from is None else row.steps_from
            row.steps_to = ended_at
        states = [row.payload for row in batch.rows]
        self._step_s = runner.forward_s - forward_s
        self.count(
            steps=1,
            row_steps=len(states),
            useful_frames=sum(state.latent_frames for state in states),
            computed_frames=runner.forward.computed_frames(states),
            step_s=self._step_s,
            splits=runner.splits - splits,
        )
        if runner.out_of_memory_frames is not None:
            self._admit_less(runner.out_of_memory_frames)
        for row in batch.rows:
            if (opened := self._open.get(row.ticket.request_id)) is not None:
                opened.submission.count_step()
        for row, error in failures.items():
            self.fail(row.ticket.request_id, error)

    def _admit_less(self, frames: int) -> None:
        """Steps stay clearly below what was too much once; a row that alone is more still runs, alone."""
        bound, limit = max(1, int(_AFTER_SHORTAGE * frames)), self.scheduler.max_latent_frames
        self.scheduler.max_latent_frames = bound if limit is None else min(limit, bound)

    def _decode(self, rows: tuple[Row[RowState], ...]) -> None:
        began = self._timer()
        decoded = self.runner.decode(rows)
        self.count(decode_s=self._timer() - began)
        for row, found in decoded.items():
            self._deliver(row, found)

    def _deliver(self, row: Row[RowState], found: Waveform | MegaTTS3Error) -> None:
        request_id, index = row.ticket.request_id, row.ticket.index
        if (opened := self._open.get(request_id)) is None:
            return
        if isinstance(found, MegaTTS3Error):
            self.fail(request_id, found)
            return
        segment, planned = opened.segments[index], row.payload.segment
        count = len(opened.segments)
        self.count(segments=1, audio_s=found.duration_s)
        times = SegmentTimes(row.prepare_from, row.prepare_to, row.steps_from or 0.0, row.steps_to, self._clock())
        opened.submission.deliver(SegmentResult(index, count, found, segment.text, planned.duration_s, planned, times))
        if opened.submission.is_over:
            self._close(request_id)
