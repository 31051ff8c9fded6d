"""submit(), cancel, step(), and the lanes' threads: the heart of the product.

All tensor work is done by the lanes: one thread on a GPU, one a core on a processor.  Callers' threads run the text
front end and decode audio, hand work in under a lock, and wait on their Submission.  Cancelling and deadlines are
looked at between two steps.
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
from megatts3.engine.calibration import choose_rows
from megatts3.engine.config import EngineConfig
from megatts3.engine.counters import Counters
from megatts3.engine.forward_choice import choose_forward
from megatts3.engine.lanes import choose_lanes, lanes_of
from megatts3.engine.loop import Loop
from megatts3.engine.mailbox import Mailbox
from megatts3.engine.open_requests import OpenRequest, OpenRequests
from megatts3.engine.request import SynthesisRequest
from megatts3.engine.runner import Runner
from megatts3.engine.scheduler import Scheduler
from megatts3.engine.submission import Submission
from megatts3.engine.voice_making import VoiceOrder
from megatts3.engine.voice_states import VoiceStates
from megatts3.errors import DeviceLost, EngineStopped, RowFailed, TextEmpty
from megatts3.pipeline.plan import Plan, plan_segment, segment_generator
from megatts3.pipeline.pronounce import frontend_of
from megatts3.pipeline.voice import VoicePrompt, check_reference
from megatts3.rates import FRAMES_PER_LATENT, LATENT_CHANNELS
from megatts3.sampling.params import SamplingParams
from megatts3.text.phones import NO_TONE, SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from megatts3.pipeline.plan import Frontend, Phonemized, PlannedSegment

log = logging.getLogger(__name__)

PREPARE_TOGETHER = 8  # segments whose durations are found in one batch: small products cost hardly more for eight
CONDITION_TOGETHER_ON_GPU = 8
_LOOK_AGAIN_S = 0.5  # a lane that rests looks so often for what is late or was given up
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
        self.clock = clock
        self._networks, self._frontend = networks, frontend
        self._timer = timer
        self._mailbox: Mailbox[OpenRequest | VoiceOrder] = Mailbox()
        self._open = OpenRequests(self.config.max_segments)
        self._voices = VoiceStates(networks, max_bytes=self.config.cache_bytes)
        self._draining = False
        self._busy_since: dict[int, float] = {}  # by lane, on our clock; each lane's own to write
        self._death: str | None = None
        self._thread: threading.Thread | None = None
        self._loop: Loop | None = None

    def _build(self) -> Loop:
        """On the thread that runs it: choosing and measuring a forward is tensor work."""
        config = self.config
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        forward = choose_forward(self._networks, config)
        calibrated = choose_rows(self._networks, forward, config, timer=self._timer)
        is_cuda = self._networks.device.type == "cuda"
        lanes = choose_lanes(self._networks, config)
        return Loop(
            lanes_of(Runner(self._networks, forward, timer=self._timer), lanes),
            self._voices,
            Scheduler(
                max_rows=calibrated.rows,
                lanes=lanes,
                max_active=config.max_active,
                max_latent_frames=calibrated.latent_frames,
                cost=calibrated.cost,
            ),
            self._open,
            prepare_together=max(PREPARE_TOGETHER, calibrated.rows),
            condition_together=CONDITION_TOGETHER_ON_GPU if is_cuda else 1,
            clock=self.clock,
            timer=self._timer,
            threads=None if lanes == 1 else torch.get_num_threads(),
            wake=self._mailbox.wake,
        )

    @classmethod
    def load(cls, checkpoint_dir: Path | str, config: EngineConfig | None = None) -> Self:
        """Load a checkpoint directory; CheckpointError where it is incomplete."""
        config = config or EngineConfig()
        networks = load_networks(
            checkpoint_dir, device=config.device, dtype=_DTYPES[config.precision], g2p=config.pronunciation
        )
        return cls(networks, frontend_of(networks), config)

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
    def death(self) -> str | None:
        """What took the device from this process; None while it has it."""
        return self._death

    @property
    def stalled_s(self) -> float:
        """How long a lane has been at one thing, a step or one call between steps; 0 when all wait for work.

        A step takes seconds at most.  One that never ends (a device that hangs) ends nothing by itself: whoever runs
        this process watches this figure and starts another.
        """
        since = min(list(self._busy_since.values()), default=None)
        return 0.0 if since is None else max(0.0, self.clock() - since)

    @property
    def rows_at_once(self) -> int:
        """Most rows that are computed at the same time on this machine."""
        return self._loop.scheduler.places if self._loop else self.config.max_rows

    @property
    def counters(self) -> Counters:
        return self._loop.counters if self._loop else Counters()

    @property
    def queued(self) -> int:
        """Segments that were taken in and do not run yet."""
        return self._loop.scheduler.queued if self._loop else 0

    @property
    def active_rows(self) -> int:
        return self._loop.scheduler.active if self._loop else 0

    # ---- its life

    def start(self) -> None:
        """Start the lanes; once."""
        if self._thread is not None:
            raise RuntimeError("the engine was started before")
        self._thread = threading.Thread(target=self._run, name="engine-loop", daemon=True)
        self._thread.start()

    def stop(self, *, drain: bool = False, timeout_s: float | None = 60.0) -> None:
        """Take no more work and end the lanes; returns when they have ended, or after `timeout_s`.

        drain: finish what was submitted; otherwise it fails with EngineStopped after the present steps
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
        order = VoiceOrder(check_reference(self._networks, waveform, latent=latent))
        self._mailbox.put(order)
        return order.answer.result()

    def plan(self, text: str, voice: VoicePrompt, params: SamplingParams) -> Plan:
        """What `submit` would speak, without speaking it."""
        self._require_alive()
        segments = self.read(text)
        works = [
            partial(self._plan_one, segment, index, len(segments), voice, params)
            for index, segment in enumerate(segments)
        ]
        return Plan(tuple(self._mailbox.call(work) for work in works))

    def _plan_one(
        self, segment: Phonemized, index: int, count: int, voice: VoicePrompt, params: SamplingParams
    ) -> PlannedSegment:
        draws = segment_generator(params.seed, index)
        prompt = self._voices.get(voice).durations
        return plan_segment(self._networks, prompt, segment, index, count, params, draws)

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

    def step(self, lane: int = 0) -> bool:
        """Take in what arrived and do one turn of a lane; False where there was nothing to do.

        The threads' own; a test may call it instead of `start()`.
        """
        if self._loop is None:
            self._loop = self._build()
        for arrived in self._mailbox.empty(after_each=lambda: self._note_progress(lane)):
            self._loop.take_in(arrived)
        return self._loop.turn(lane)

    # ---- the lanes' threads

    def _run(self) -> None:
        """The first lane's thread, which outlasts the others."""
        others: list[threading.Thread] = []
        try:
            self._loop = self._build()
            others = [
                threading.Thread(target=self._serve, args=(lane.number,), name=f"engine-{lane.number}", daemon=True)
                for lane in self._loop.lanes[1:]
            ]
            for other in others:
                other.start()
            self._serve(0)
        finally:
            self._mailbox.close()
            for other in others:
                other.join()
            self._end()

    def _serve(self, lane: int) -> None:
        assert self._loop is not None
        while not self._is_over():
            seen, has_worked = self._mailbox.changes, False
            self._note_progress(lane)
            try:
                has_worked = self.step(lane)
            except DeviceLost as error:
                self._death = error.reason
                log.exception("engine_device_lost")
                self._mailbox.close()
            except Exception as error:
                log.exception("engine_step_failed")
                self._fail_all(type(error).__name__)
            self._busy_since.pop(lane, None)
            if not has_worked:
                self._mailbox.wait(seen, None if self._loop.is_idle else _LOOK_AGAIN_S)
        self._loop.leave(lane)
        self._mailbox.wake()  # those that rest are over, too

    def _note_progress(self, lane: int) -> None:
        self._busy_since[lane] = self.clock()

    def _is_over(self) -> bool:
        """Whether a lane is to end: no more is taken, and what was taken is done where that was asked for."""
        if not self._mailbox.is_closed:
            return False
        is_working = bool(self._open) or not (self._loop is None or self._loop.preparing.voices_made.is_idle)
        return self._death is not None or not (self._draining and is_working)

    def _end(self) -> None:
        """Nothing will run any more: say so to everybody who waits."""
        self._mailbox.close()
        for arrived in self._mailbox.empty():
            if isinstance(arrived, VoiceOrder):
                arrived.answer.set_exception(EngineStopped())
        if self._loop is not None:
            self._loop.preparing.voices_made.end()
        for request_id in self._open.ids():
            error = DeviceLost(self._death) if self._death else EngineStopped()
            if (opened := self._open.remove(request_id)) is not None:
                opened.submission.fail(error)

    def _fail_all(self, reason: str) -> None:
        for request_id in self._open.ids():
            if self._loop is not None:
                self._loop.fail(request_id, RowFailed(request_id, reason))

    def _require_alive(self) -> None:
        if not self.is_alive:
            raise EngineStopped
