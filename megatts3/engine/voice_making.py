"""Voices on their way from reference audio, a little at a time, so that rows that run need not wait for them.

All that wait are aligned in one batch, one token a call; then each is encoded.  A recording that no voice can be made
of fails alone, on its caller's thread.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from megatts3.engine.row_failure import is_fatal
from megatts3.errors import DeviceLost, EngineStopped
from megatts3.models.aligner import GreedyTokens
from megatts3.pipeline.alignment import read_alignment
from megatts3.pipeline.voice import CheckedReference, VoicePrompt, aligner_mel, assemble, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from megatts3.checkpoint import Networks

MAKE_TOGETHER = 8


@dataclass(frozen=True, eq=False)
class VoiceOrder:
    """A voice to make; `answer` gets it, or what is wrong with its recording."""

    reference: CheckedReference
    answer: Future[VoicePrompt] = field(default_factory=Future)


class VoiceMaking:
    """The voices that are being made and those that wait.  Added to by any lane, advanced by one at a time."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._lock = threading.Lock()  # of `_waiting` alone
        self._waiting: list[VoiceOrder] = []
        self._made: list[VoiceOrder] = []
        self._work: Iterator[None] | None = None

    @property
    def is_idle(self) -> bool:
        return not self._waiting and self._work is None

    def add(self, order: VoiceOrder) -> None:
        with self._lock:
            self._waiting.append(order)

    @torch.inference_mode()
    def advance(self) -> None:
        """One token of the voices that are being made, or the encoding of one.  Raises DeviceLost."""
        if self._work is None:
            with self._lock:
                self._made, self._waiting = self._waiting[:MAKE_TOGETHER], self._waiting[MAKE_TOGETHER:]
            self._work = self._make(self._made)
        try:
            next(self._work)
        except StopIteration:
            self._work, self._made = None, []
        except Exception as error:
            if is_fatal(error):
                raise DeviceLost(type(error).__name__) from error
            for order in self._made:
                _fail(order, error)
            self._work, self._made = None, []

    def end(self) -> None:
        """Nothing more will be made."""
        for order in (*self._made, *self._waiting):
            _fail(order, EngineStopped())
        self._waiting, self._made, self._work = [], [], None

    def _make(self, orders: Sequence[VoiceOrder]) -> Iterator[None]:
        mels = [aligner_mel(self._networks, order.reference.padded) for order in orders]
        yield
        found: dict[int, tuple[int, ...]] = {}
        if len(orders) > 1:
            work = GreedyTokens(self._networks.aligner, *_batch(mels))
            while not work.is_done:
                yield
                work.step()
            known = enumerate(zip(work.tokens, work.close_calls, strict=True))
            found = {place: tokens for place, (tokens, is_close) in known if not is_close}
        for place, (order, mel) in enumerate(zip(orders, mels, strict=True)):
            if place not in found:
                alone = GreedyTokens(self._networks.aligner, mel[None])
                while not alone.is_done:
                    yield
                    alone.step()
                found[place] = alone.tokens[0]
            yield
            self._finish(order, found[place], mel.shape[-1])

    def _finish(self, order: VoiceOrder, tokens: tuple[int, ...], prompt_frames: int) -> None:
        given = order.reference
        try:
            alignment = read_alignment(tokens, prompt_frames)
            latent = encode(self._networks, given.padded) if given.latent is None else given.latent
            voice = assemble(alignment, latent, given.loudness_lufs)
        except Exception as error:  # the caller's, on the caller's thread
            if is_fatal(error):
                raise
            _fail(order, error)
        else:
            order.answer.set_result(voice)


def _fail(order: VoiceOrder, error: Exception) -> None:
    if not order.answer.done():
        order.answer.set_exception(error)


def _batch(mels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Padded with 0.0 on the right (B, n_mels, P), and which audio states are a clip's own (B, P / 2)."""
    padded = pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2)
    lengths = torch.tensor([mel.shape[-1] // 2 for mel in mels], device=padded.device)
    return padded, torch.arange(padded.shape[-1] // 2, device=padded.device) < lengths[:, None]
