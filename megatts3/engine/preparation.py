"""Some segments on their way to rows, a little at a time, so that rows that run need not wait for them.

Durations of all of them come from one batch, one token a call; then each is conditioned.  A segment that cannot
be prepared fails alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
from torch.nn.utils.rnn import pad_sequence

from megatts3.engine.batch import RowState
from megatts3.engine.row_failure import as_row_failure, is_fatal
from megatts3.models.duration_lm import Continuation, DurationPrompt
from megatts3.pipeline.conditioning import condition_rows
from megatts3.pipeline.plan import plan_from_tokens, require_known, segment_generator, segment_tokens
from megatts3.sampling.noise import RowNoise
from megatts3.sampling.solver import SOLVERS
from megatts3.sampling.time_grid import GRIDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from megatts3.checkpoint import Networks
    from megatts3.engine.scheduler import Ticket
    from megatts3.engine.voice_states import VoiceState, VoiceStates
    from megatts3.errors import MegaTTS3Error
    from megatts3.pipeline.conditioning import Conditioning
    from megatts3.pipeline.plan import Phonemized, PlannedSegment
    from megatts3.pipeline.voice import VoicePrompt
    from megatts3.sampling.params import SamplingParams


@dataclass(frozen=True, eq=False)
class Order:
    """A segment to prepare: the `index`-th of `count` of its text."""

    ticket: Ticket
    segment: Phonemized
    index: int
    count: int
    voice: VoicePrompt
    params: SamplingParams


Prepared = tuple["Order", "RowState | MegaTTS3Error"]
T = TypeVar("T")


class Preparation:
    """Of one group of segments.  `advance` until `is_done`; each call returns those that it finished."""

    def __init__(
        self, networks: Networks, voices: VoiceStates, orders: Sequence[Order], *, together: int, began_at: float = 0.0
    ) -> None:
        """together: rows that are conditioned in one call;  began_at: on the engine's clock"""
        self.began_at = began_at
        self.orders = tuple(orders)
        self._networks, self._voices, self._together = networks, voices, together
        self._wanted: set[Ticket] = {order.ticket for order in orders}
        self._work = self._run()
        self.is_done = False
        self.is_taken = False  # by a lane that is at it; the loop's to set

    @property
    def most_urgent(self) -> Ticket:
        return min((order.ticket for order in self.orders), key=lambda ticket: ticket.order)

    def forget(self, request_id: str) -> None:
        """Do no more for a request that is over than what is begun."""
        self._wanted = {ticket for ticket in self._wanted if ticket.request_id != request_id}

    @torch.inference_mode()
    def advance(self) -> list[Prepared]:
        """One token of all, or the conditioning of some."""
        found = next(self._work, None)
        if found is None:
            self.is_done = True
            return []
        return found

    def _run(self) -> Iterator[list[Prepared]]:
        known: list[tuple[Order, VoiceState]] = []
        failed: list[Prepared] = []
        for order in self.orders:
            state = self._try(order, self._begin, failed)
            if state is not None:
                known.append((order, state))
        yield failed
        tokens: dict[Order, list[int]] = {}
        for found in self._tokens(known):
            tokens.update(found)
            yield []
        planned = []
        failed = []
        for order, state in known:
            plan = self._try(order, partial(self._plan, state=state, tokens=tokens.get(order)), failed)
            if plan is not None:
                planned.append((order, state, *plan))
        yield failed
        for begin in range(0, len(planned), self._together):
            some = [each for each in planned[begin : begin + self._together] if each[0].ticket in self._wanted]
            if some:
                yield self._condition(some)

    def _begin(self, order: Order) -> VoiceState:
        require_known(self._networks, order.segment.phones, order.segment.tones)
        return self._voices.get(order.voice)

    def _tokens(self, known: Sequence[tuple[Order, VoiceState]]) -> Iterator[dict[Order, list[int]]]:
        """Tokens of each but those that are to be asked alone, in one go."""
        if not known:
            return
        device = self._networks.device
        prompt = DurationPrompt.stack([state.durations for _, state in known])
        phones = pad_sequence([torch.tensor(order.segment.phones) for order, _ in known], batch_first=True)
        tones = pad_sequence([torch.tensor(order.segment.tones) for order, _ in known], batch_first=True)
        try:
            work = Continuation(self._networks.duration_lm, prompt, phones.to(device), tones.to(device))
            while not work.is_done:
                work.step()
                yield {}
        except Exception as error:  # whichever it is of: each is asked alone, and fails alone
            if is_fatal(error):
                raise
            return
        rows = zip(known, work.tokens.tolist(), work.close_calls, strict=True)
        yield {order: row[: len(order.segment.phones)] for (order, _), row, is_close in rows if not is_close}

    def _plan(
        self, order: Order, state: VoiceState, tokens: list[int] | None
    ) -> tuple[PlannedSegment, torch.Generator]:
        draws = segment_generator(order.params.seed, order.index)
        if tokens is None:
            tokens = segment_tokens(self._networks, state.durations, order.segment)
        return plan_from_tokens(tokens, order.segment, order.index, order.count, order.params, draws), draws

    def _condition(self, some: Sequence[tuple[Order, VoiceState, PlannedSegment, torch.Generator]]) -> list[Prepared]:
        rows = [(order.voice, planned, order.params) for order, _, planned, _ in some]
        try:
            given = condition_rows(self._networks.dit, rows, [state.part for _, state, _, _ in some])
        except Exception as error:
            if is_fatal(error):
                raise
            if len(some) == 1:
                order = some[0][0]
                return [(order, as_row_failure(order.ticket.request_id, error))]
            return [prepared for each in some for prepared in self._condition([each])]
        return [
            (order, _row_state(order, planned, draws, conditioning))
            for (order, _, planned, draws), conditioning in zip(some, given, strict=True)
        ]

    def _try(self, order: Order, work: Callable[[Order], T], failed: list[Prepared]) -> T | None:
        try:
            return work(order) if order.ticket in self._wanted else None
        except Exception as error:
            if is_fatal(error):
                raise
            failed.append((order, as_row_failure(order.ticket.request_id, error)))
            return None


def _row_state(order: Order, planned: PlannedSegment, draws: torch.Generator, given: Conditioning) -> RowState:
    params = order.params
    noise = RowNoise(draws, given.latent_frames)
    grid = GRIDS[params.grid](params.steps)
    solver = SOLVERS[params.solver]
    return RowState(
        segment=planned,
        voice=order.voice,
        params=params,
        given=given,
        noise=noise,
        grid=grid,
        moves=tuple(solver(t, t_next) for t, t_next in pairwise(grid)),
        x=noise.initial()[len(given.prompt) :].to(given.states.device),
    )
