"""One turn of a lane: who goes on, what is prepared, one step, what is finished.

Between two steps cancels and deadlines are obeyed.  A lane holds the loop's lock while it decides and gives it up
while tensors are at work: what is decided is one lane's at a time, what is computed is done side by side.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from megatts3.engine.counters import Counters
from megatts3.engine.fair_share import FairShare
from megatts3.engine.preparing import Preparing
from megatts3.engine.request import Priority, SegmentResult, SegmentTimes
from megatts3.engine.scheduler import Batch, Row, Scheduler, Ticket
from megatts3.engine.voice_making import VoiceOrder
from megatts3.errors import Cancelled, DeadlineExceeded, EngineStopped, MegaTTS3Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from megatts3.audio.waveform import Waveform
    from megatts3.engine.batch import RowState
    from megatts3.engine.lanes import Lane
    from megatts3.engine.open_requests import OpenRequest, OpenRequests
    from megatts3.engine.voice_states import VoiceStates

_PHONE_S = 0.09  # of speech per phone, roughly: when a request's later segments will be wanted
_AFTER_SHORTAGE = 0.8  # of the frames for which memory was short: how many a step may have from then on


class Loop:
    """Everything that the lanes change.  Public methods take the lock; the others expect it to be held."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        voices: VoiceStates,
        scheduler: Scheduler[RowState],
        open_requests: OpenRequests,
        *,
        prepare_together: int,
        condition_together: int,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.perf_counter,
        threads: int | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """prepare_together: segments whose durations are found in one batch;  condition_together: likewise
        threads: for the lanes to share, None to leave threads alone;  wake: lanes that rest shall look again
        """
        self.lanes, self.scheduler, self.counters = tuple(lanes), scheduler, Counters()
        self._open, self._clock, self._timer = open_requests, clock, timer
        self._threads, self._wake = threads, wake
        self._lock = threading.Lock()
        self._resting: set[int] = set()  # lanes that found nothing to do
        self._shares = FairShare()
        self.preparing = Preparing(
            self.lanes[0].runner.networks,
            voices,
            scheduler,
            open_requests,
            together=prepare_together,
            condition_together=condition_together,
            outside=self._outside,
            fail=self._fail,
            count=self.count,
            clock=clock,
            timer=timer,
        )

    @property
    def is_idle(self) -> bool:
        with self._lock:
            return self.scheduler.is_idle and self.preparing.voices_made.is_idle

    def take_in(self, arrived: OpenRequest | VoiceOrder) -> None:
        """Let a request's segments queue, or a voice that is to be made."""
        with self._lock:
            if isinstance(arrived, VoiceOrder):
                self.preparing.voices_made.add(arrived)
            else:
                self._take_in(arrived)

    def _take_in(self, opened: OpenRequest) -> None:
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

    def turn(self, number: int = 0) -> bool:
        """One step of the rows that a lane takes, and what has to be done around it; False where it found nothing.

        Raises DeviceLost.
        """
        with self._lock:
            lane = self.lanes[number]
            self._resting.discard(number)
            has_worked = self._turn(lane)
            if not has_worked:
                self._resting.add(number)
            return has_worked

    def leave(self, number: int) -> None:
        """A lane that is over does not rest."""
        with self._lock:
            self._resting.discard(number)

    def fail(self, request_id: str, error: MegaTTS3Error) -> None:
        """End a request without its sound."""
        with self._lock:
            self._fail(request_id, error)

    def _turn(self, lane: Lane) -> bool:
        began, lane.spent_s = self._timer(), 0.0
        self._let_go()
        has_prepared = self.preparing.go_on(lane, others_rest=bool(self._resting))
        batch = self.scheduler.next_batch(lane.number)
        if self._resting and (self.scheduler.can_be_taken or self.preparing.has_more):
            self._wake()
        self._denoise(lane, batch)
        if finished := self.scheduler.advance(batch):
            self._decode(lane, finished)
        if has_worked := has_prepared or bool(batch):
            rest_s = max(0.0, self._timer() - began - lane.spent_s)
            self.count(turns=1, scheduler_s=rest_s / self._at_work)
        return has_worked

    @property
    def _at_work(self) -> int:
        """Lanes that do not rest."""
        return max(1, len(self.lanes) - len(self._resting))

    @contextmanager
    def _outside(self, lane: Lane, counted: str | None = None) -> Iterator[None]:
        """Tensor work: without the lock, with a share of the threads.  counted: whose seconds they are"""
        at_work = self._at_work
        if self._threads is not None:
            torch.set_num_threads(max(1, self._threads // at_work))  # this thread's
        self._lock.release()
        began = self._timer()
        try:
            yield
        finally:
            spent_s = self._timer() - began
            self._lock.acquire()
            if counted is not None:
                lane.spent_s += spent_s
                self.count(**{counted: spent_s / at_work})

    def count(self, **more: float) -> None:
        self.counters = self.counters.plus(**more)

    def _fail(self, request_id: str, error: MegaTTS3Error) -> None:
        if (opened := self._close(request_id)) is not None:
            opened.submission.fail(error)
            if not isinstance(error, Cancelled | EngineStopped):
                self.count(failed=1)

    def _close(self, request_id: str) -> OpenRequest | None:
        self.scheduler.drop(request_id)
        self.preparing.forget(request_id)
        if (opened := self._open.remove(request_id)) is not None:
            self._shares.over(opened.request.client, request_id)
        return opened

    def _let_go(self) -> None:
        """Drop requests that were cancelled or are late."""
        for request_id in self._open.cancelled():
            self._fail(request_id, Cancelled(request_id))
        for request_id, late_s in self.scheduler.late(self._clock()).items():
            self._fail(request_id, DeadlineExceeded(request_id, late_s))

    def _denoise(self, lane: Lane, batch: Batch[RowState]) -> None:
        runner = lane.runner
        if not batch:
            runner.forward.forget_rows()
            return
        forward_s, splits = runner.forward_s, runner.splits
        began_at, at_work = self._clock(), self._at_work
        with self._outside(lane):
            failures = runner.denoise(batch.rows)
        ended_at = self._clock()
        for row in batch.rows:
            row.steps_from = began_at if row.steps_from is None else row.steps_from
            row.steps_to = ended_at
        states = [row.payload for row in batch.rows]
        step_s = runner.forward_s - forward_s
        lane.spent_s += step_s
        self.preparing.step_s = step_s
        self.count(
            steps=1,
            row_steps=len(states),
            useful_frames=sum(state.latent_frames for state in states),
            computed_frames=runner.forward.computed_frames(states),
            step_s=step_s / at_work,
            splits=runner.splits - splits,
        )
        if runner.out_of_memory_frames is not None:
            self._admit_less(runner.out_of_memory_frames)
        for row in batch.rows:
            if (opened := self._open.get(row.ticket.request_id)) is not None:
                opened.submission.count_step()
        for row, error in failures.items():
            self._fail(row.ticket.request_id, error)

    def _admit_less(self, frames: int) -> None:
        """Steps stay clearly below what was too much once; a row that alone is more still runs, alone."""
        bound, limit = max(1, int(_AFTER_SHORTAGE * frames)), self.scheduler.max_latent_frames
        self.scheduler.max_latent_frames = bound if limit is None else min(limit, bound)

    def _decode(self, lane: Lane, rows: tuple[Row[RowState], ...]) -> None:
        with self._outside(lane, "decode_s"):
            decoded = lane.runner.decode(rows)
        for row, found in decoded.items():
            self._deliver(row, found)

    def _deliver(self, row: Row[RowState], found: Waveform | MegaTTS3Error) -> None:
        request_id, index = row.ticket.request_id, row.ticket.index
        if (opened := self._open.get(request_id)) is None:
            return
        if isinstance(found, MegaTTS3Error):
            self._fail(request_id, found)
            return
        segment, planned = opened.segments[index], row.payload.segment
        count = len(opened.segments)
        self.count(segments=1, audio_s=found.duration_s)
        times = SegmentTimes(row.prepare_from, row.prepare_to, row.steps_from or 0.0, row.steps_to, self._clock())
        opened.submission.deliver(SegmentResult(index, count, found, segment.text, planned.duration_s, planned, times))
        if opened.submission.is_over:
            self._close(request_id)
