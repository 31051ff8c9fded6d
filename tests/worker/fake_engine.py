"""A second implementation of the engine's interface: no networks, its audio is a function of request and voice.

A test can hold it still (`gate`), make a text fail (`failures`), or let it die (`die`).
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from megatts3.api import (
    Capabilities,
    Counters,
    Plan,
    PlannedSegment,
    Progress,
    SamplingParams,
    SegmentResult,
    SegmentTimes,
    SynthesisRequest,
    VoicePrompt,
)
from megatts3.audio.formats import decode
from megatts3.audio.waveform import Waveform
from megatts3.errors import Cancelled, DeadlineExceeded, EngineStopped, LatentRequired, TextEmpty
from worker.manuscript import ReadSegment

SAMPLE_RATE = 24_000
SECONDS_A_CHARACTER = 0.05
LOOK_AGAIN_S = 0.005


def digest(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


def voice_of(data: bytes) -> VoicePrompt:
    """A prompt that differs with the bytes it was made from."""
    rng = np.random.default_rng(digest(data))
    return VoicePrompt(
        latent=rng.standard_normal((4, 32)).astype(np.float32),
        phones=(145, 148),
        tones=(0, 0),
        durations=(8, 8),
        loudness_lufs=-20.0,
    )


def speech(text: str, voice: VoicePrompt, params: SamplingParams) -> Waveform:
    """What the fake says: the same for the same text, voice and parameters, different for any other."""
    length = max(1, int(len(text) * SECONDS_A_CHARACTER * SAMPLE_RATE))
    rng = np.random.default_rng(digest(text, voice.fingerprint, params))
    return Waveform((0.1 * rng.standard_normal(length)).astype(np.float32), SAMPLE_RATE)


def planned(index: int, segment: ReadSegment) -> PlannedSegment:
    """Every phone as long as a character of the fake's speech."""
    frames = round(100 * SECONDS_A_CHARACTER)
    return PlannedSegment(index, segment.text, segment.phones, segment.tones, (frames,) * len(segment.phones))


def segments_of(text: str) -> list[str]:
    return [part for part in text.replace("。", ".").split(".") if part.strip()]


@dataclass
class FakeSubmission:
    """One request under way; runs on the thread that iterates."""

    engine: "FakeEngine"
    request: SynthesisRequest
    done: int = 0

    def __post_init__(self) -> None:
        self._cancelled = threading.Event()

    @property
    def parts(self) -> list[str]:
        passage = self.request.passage
        return segments_of(self.request.text) if passage is None else [part.text for part in passage.segments]

    @property
    def progress(self) -> Progress:
        count, steps = len(self.parts), self.request.params.steps
        return Progress(self.done, count, self.done * steps, count * steps)

    def cancel(self) -> None:
        self._cancelled.set()

    def __iter__(self) -> Iterator[SegmentResult]:
        parts = self.parts
        for index, part in enumerate(parts):
            began = self.engine.clock()
            self._one_step(part)
            stepped = self.engine.clock()
            self.done += 1
            spoken = speech(part, self.request.voice, self.request.params)
            self.engine.rendered.append(part)
            plan = None if self.request.passage is None else planned(index, self.request.passage.segments[index])
            times = SegmentTimes(began, began, began, stepped, self.engine.clock())
            yield SegmentResult(index, len(parts), spoken, part, planned_s=spoken.duration_s, planned=plan, times=times)

    def _one_step(self, part: str) -> None:
        """Wait at the gate as the real engine waits between steps; the same reasons end it."""
        while True:
            if self._cancelled.is_set():
                raise Cancelled(self.request.request_id)
            deadline = self.request.deadline_s
            if deadline is not None and self.engine.clock() >= deadline:
                raise DeadlineExceeded(self.request.request_id)
            if not self.engine.is_alive:
                raise EngineStopped
            if (error := self.engine.failures.get(part)) is not None:
                raise error
            if part in self.engine.holds:
                time.sleep(LOOK_AGAIN_S)
            elif self.engine.gate.wait(LOOK_AGAIN_S):
                return


class FakeEngine:
    """See worker.speech_engine.SpeechEngine."""

    revision = "fake-1"
    rows_at_once = 4
    active_rows = queued = 0
    stalled_s = 0.0
    device = "cpu"

    def __init__(self, *, has_encoder: bool = True) -> None:
        self.capabilities = Capabilities(encoder=has_encoder, g2p_network=False, name="mini")
        self.clock = time.monotonic
        self.gate = threading.Event()
        self.gate.set()
        self.failures: dict[str, Exception] = {}
        self.holds: set[str] = set()  # segments that do not get on
        self.submitted: list[str] = []
        self.rendered: list[str] = []  # segments that came to their end
        self.prepared: list[bytes] = []
        self.counters = Counters()
        self.is_alive = False
        self.death: str | None = None

    def start(self) -> None:
        self.is_alive = True

    def stop(self) -> None:
        self.is_alive = False

    def die(self, reason: str | None = None) -> None:
        self.is_alive, self.death = False, reason

    def warm_up(self) -> None:
        assert self.is_alive

    def prepare_voice(self, data: bytes, *, latent: np.ndarray | None = None) -> VoicePrompt:
        decode(data)
        if latent is None and not self.capabilities.encoder:
            raise LatentRequired
        self.prepared.append(data)
        return voice_of(data)

    def read(self, text: str) -> list[ReadSegment]:
        parts = segments_of(text)
        if not parts:
            raise TextEmpty
        return [ReadSegment(part, tuple(part.encode()), (0,) * len(part.encode())) for part in parts]

    def plan(self, text: str, voice: VoicePrompt, params: SamplingParams) -> Plan:
        return Plan(tuple(planned(index, part) for index, part in enumerate(self.read(text))))

    def submit(self, request: SynthesisRequest) -> FakeSubmission:
        self.submitted.append(request.request_id)
        return FakeSubmission(self, request)
