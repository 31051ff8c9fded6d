"""submit(), cancel, step(), and the loop's thread: the heart of the product.

All tensor work is done by one thread.  Callers' threads run the text front end and decode audio,
hand work in under a lock, and wait on their Submission.  Cancelling and deadlines are looked at
between two steps.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from megatts3.audio.formats import decode
from megatts3.checkpoint import Capabilities, Networks, load_networks
from megatts3.engine.config import EngineConfig
from megatts3.engine.counters import Counters
from megatts3.engine.mailbox import Mailbox
from megatts3.engine.open_requests import OpenRequest, OpenRequests
from megatts3.engine.request import SegmentResult, SynthesisRequest
from megatts3.engine.runner import Runner, as_row_failure
from megatts3.engine.scheduler import Batch, Row, Scheduler, Ticket
from megatts3.engine.submission import Submission
from megatts3.errors import Cancelled, DeadlineExceeded, EngineStopped, MegaTTS3Error, RowFailed, TextEmpty
from megatts3.pipeline.plan import Plan
from megatts3.pipeline.voice import VoicePrompt, prepare_voice
from megatts3.rates import FRAMES_PER_LATENT, LATENT_CHANNELS
from megatts3.sampling.params import SamplingParams
from megatts3.text.frontend import TextFrontend
from megatts3.text.phones import NO_TONE, SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from megatts3.audio.waveform import Waveform
    from megatts3.engine.batch import RowState
    from megatts3.pipeline.plan import Frontend, Phonemized

log = logging.getLogger(__name__)

_PHONE_S = 0.09  # of speech per phone, roughly: when a request's later segments will be wanted
_WARM_UP_TEXT = "你好。Hello."
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Engine:
    """Many requests on one model.  `start()` it before use, `stop()` it in the end."""

    def __init__(
        self,
        networks: Networks,
        frontend: Frontend,
        config: EngineConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config or EngineConfig()
        self.clock, self._timer = clock, timer
        self._networks = networks
        self._frontend = frontend
        self._runner = Runner(networks, timer=timer)
        self._scheduler: Scheduler[RowState] = Scheduler(
            max_rows=self.config.max_rows, max_latent_frames=self.config.max_latent_frames
        )
        self._mailbox: Mailbox[OpenRequest] = Mailbox()
        self._open = OpenRequests(self.config.max_segments)
        self._counters = Counters()
        self._draining = False
        self._thread: threading.Thread | None = None

    @classmethod
    def load(cls, checkpoint_dir: Path | str, config: EngineConfig | None = None) -> Self:
        """Load a checkpoint directory; CheckpointError where it is incomplete."""
        config = config or EngineConfig()
        networks = load_networks(checkpoint_dir, device=config.device, dtype=_DTYPES[config.precision])
        return cls(networks, TextFrontend(), config)

    # ---- what it is

    @property
    def capabilities(self) -> Capabilities:
        return self._networks.capabilities

    @property
    def revision(self) -> str:
        return self._networks.revision

    @property
    def device(self) -> str:
        return str(self._networks.device)

    @property
    def is_alive(self) -> bool:
        """The loop runs and takes work."""
        return self._thread is not None and self._thread.is_alive() and not self._mailbox.is_closed

    @property
    def counters(self) -> Counters:
        return self._counters

    @property
    def queued(self) -> int:
        """Segments that the loop has taken in and that do not run yet."""
        return self._scheduler.queued

    @property
    def active_rows(self) -> int:
        return self._scheduler.active

    # ---- its life

    def start(self) -> None:
        """Start the loop's thread; once."""
        if self._thread is not None:
            raise RuntimeError("the engine was started before")
        self._thread = threading.Thread(target=self._loop, name="engine-loop", daemon=True)
        self._thread.start()

    def stop(self, *, drain: bool = False, timeout_s: float | None = 60.0) -> None:
        """Take no more work and end the loop; returns when it has ended, or after `timeout_s`.

        drain: finish what was submitted; otherwise it fails with EngineStopped after the present step
        """
        self._draining = drain
        self._mailbox.close()
        if self._thread is None:
            self._end()
        else:
            self._thread.join(timeout_s)

    def warm_up(self) -> None:
        """Speak a few words once, so that the first request finds everything loaded and touched."""
        rng = np.random.default_rng(0)
        latent = rng.standard_normal((26, LATENT_CHANNELS)).astype(np.float32)
        frames = len(latent) * FRAMES_PER_LATENT
        voice = VoicePrompt(latent, (SILENCE,), (NO_TONE,), (frames,), loudness_lufs=-24.0)
        with self.submit(
            SynthesisRequest(f"warm-up-{id(voice)}", _WARM_UP_TEXT, voice, SamplingParams(steps=2))
        ) as spoken:
            for _ in spoken:
                pass

    # ---- what it does

    def prepare_voice(self, data: bytes, *, latent: NDArray[np.generic] | None = None) -> VoicePrompt:
        """Reference audio, a whole file of any readable form → a voice.  Raises InputError's kinds."""
        self._require_alive()
        waveform = decode(data)
        return self._mailbox.call(lambda: prepare_voice(self._networks, waveform, latent=latent))

    def plan(self, text: str, voice: VoicePrompt, params: SamplingParams) -> Plan:
        """What `submit` would speak, without speaking it."""
        self._require_alive()
        segments = self.read(text)
        works = [
            partial(self._runner.plan, segment, index, len(segments), voice=voice, params=params)
            for index, segment in enumerate(segments)
        ]
        return Plan(tuple(self._mailbox.call(work) for work in works))

    def read(self, text: str) -> Sequence[Phonemized]:
        """The segments of a text, as a request or its passages are made of them.  Raises TextError's kinds."""
        segments = self._frontend.segments(text)
        if not segments:
            raise TextEmpty
        return segments

    def submit(self, request: SynthesisRequest) -> Submission:
        """Hand a request in; before `start()` it waits.

        Raises TextError's kinds, EngineFull, EngineStopped; ValueError for an id that is in use.
        """
        if self._mailbox.is_closed:
            raise EngineStopped
        segments = self.read(request.text) if request.passage is None else request.passage.segments
        submission = Submission(request.request_id, len(segments), request.params.steps)
        opened = OpenRequest(request, segments, submission)
        self._open.add(opened)  # before the loop may see it
        try:
            self._mailbox.put(opened)
        except EngineStopped:
            self._open.remove(opened.id)
            raise
        return submission

    def step(self) -> None:
        """Take in what arrived, prepare one segment, move every row by one step, hand out what is finished.

        The loop's; a test may call it instead of `start()`.
        """
        began, before = self._timer(), self._counters
        self._take_in()
        self._let_go()
        self._prepare_next()
        batch = self._scheduler.next_batch()
        self._denoise(batch)
        if finished := self._scheduler.advance(batch):
            decoding = self._timer()
            decoded = self._runner.decode(finished)
            self._count(decode_s=self._timer() - decoding)
            for row, found in decoded.items():
                self._deliver(row, found)
        spent = self._counters.minus(before)
        rest_s = self._timer() - began - spent.step_s - spent.prepare_s - spent.decode_s
        self._count(turns=1, scheduler_s=max(0.0, rest_s))

    # ---- between two steps

    def _let_go(self) -> None:
        """Drop requests that were cancelled or are late."""
        for request_id in self._open.cancelled():
            self._fail(request_id, Cancelled(request_id))
        for request_id, late_s in self._scheduler.late(self.clock()).items():
            self._fail(request_id, DeadlineExceeded(request_id, late_s))

    def _prepare_next(self) -> None:
        ticket = self._scheduler.next_to_prepare()
        opened = None if ticket is None else self._open.get(ticket.request_id)
        if ticket is None or opened is None:
            return
        request, segments = opened.request, opened.segments
        began = self._timer()
        try:
            state = self._runner.prepare(
                segments[ticket.index],
                ticket.index + (request.passage.first if request.passage else 0),
                request.passage.count if request.passage else len(segments),
                voice=request.voice,
                params=request.params,
            )
        except Exception as error:  # noqa: BLE001  the request fails, not the engine
            self._fail(ticket.request_id, as_row_failure(ticket.request_id, error))
        else:
            self._scheduler.ready(Row(ticket, state.latent_frames, state))
        self._count(prepared=1, prepare_s=self._timer() - began)

    def _denoise(self, batch: Batch[RowState]) -> None:
        failures = self._runner.denoise(batch)
        if batch.rows:
            frames = [row.latent_frames for row in batch.rows]
            self._count(
                steps=1,
                row_steps=len(frames),
                useful_frames=sum(frames),
                computed_frames=len(frames) * max(frames),
                step_s=self._runner.forward_s - self._counters.step_s,
            )
        for row in batch.rows:
            if (opened := self._open.get(row.ticket.request_id)) is not None:
                opened.submission.count_step()
        for row, error in failures.items():
            self._fail(row.ticket.request_id, error)

    def _count(self, **more: float) -> None:
        self._counters = self._counters.plus(**more)

    def _deliver(self, row: Row[RowState], found: Waveform | MegaTTS3Error) -> None:
        request_id, index = row.ticket.request_id, row.ticket.index
        if (opened := self._open.get(request_id)) is None:
            return
        if isinstance(found, MegaTTS3Error):
            self._fail(request_id, found)
            return
        segment = opened.segments[index]
        planned = row.payload.segment
        count = len(opened.segments)
        self._count(segments=1, audio_s=found.duration_s)
        opened.submission.deliver(SegmentResult(index, count, found, segment.text, planned.duration_s, planned))
        if opened.submission.is_over:
            self._close(request_id)

    def _fail(self, request_id: str, error: MegaTTS3Error) -> None:
        if (opened := self._close(request_id)) is not None:
            opened.submission.fail(error)
            if not isinstance(error, Cancelled | EngineStopped):
                self._count(failed=1)

    def _close(self, request_id: str) -> OpenRequest | None:
        self._scheduler.drop(request_id)
        return self._open.remove(request_id)

    # ---- the loop's thread

    def _loop(self) -> None:
        if self.config.threads is not None:
            torch.set_num_threads(self.config.threads)
        try:
            while self._has_work():
                try:
                    self.step()
                except Exception as error:
                    log.exception("engine_step_failed")
                    self._fail_all(type(error).__name__)
        finally:
            self._end()

    def _has_work(self) -> bool:
        """Wait for something to do.  False when the loop is to end."""
        if self._scheduler.is_idle:
            self._mailbox.wait()
        return not self._mailbox.is_closed or (self._draining and bool(self._open))

    def _take_in(self) -> None:
        for opened in self._mailbox.empty():
            if self._open.get(opened.id) is opened:  # not cancelled meanwhile
                self._queue(opened)

    def _queue(self, opened: OpenRequest) -> None:
        request, wanted_s = opened.request, self.clock() + opened.request.priority.value
        for index, segment in enumerate(opened.segments):
            self._scheduler.add(Ticket(request.request_id, index, request.params.steps, wanted_s, request.deadline_s))
            wanted_s += len(segment.phones) * _PHONE_S / request.params.speed

    def _end(self) -> None:
        """Nothing will run any more: say so to everybody who waits."""
        self._mailbox.close()
        self._mailbox.empty()
        self._fail_all(None)

    def _fail_all(self, reason: str | None) -> None:
        """End every request: with RowFailed for a reason, without one with EngineStopped."""
        for request_id in self._open.ids():
            self._fail(request_id, RowFailed(request_id, reason) if reason else EngineStopped())

    def _require_alive(self) -> None:
        if not self.is_alive:
            raise EngineStopped
