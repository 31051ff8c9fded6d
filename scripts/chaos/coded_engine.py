"""An engine that sleeps as a GPU would and whose sound says whose it is.  No networks.

Texts are sentences of coded_text.py; a voice is a recording with a code in it.  Some texts are poison: one ends the
process at once, one hangs the engine for ever; and so are some recordings.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from megatts3.api import (
    Capabilities,
    Counters,
    Plan,
    PlannedSegment,
    Progress,
    SamplingParams,
    SegmentResult,
    SynthesisRequest,
    VoicePrompt,
    Waveform,
    decode,
)
from megatts3.errors import Cancelled, DeadlineExceeded, EngineStopped, TextEmpty
from megatts3.pipeline.plan import Phonemized
from scripts.chaos.coded_audio import SAMPLE_RATE, Coded, codes_in, samples_of
from scripts.chaos.coded_text import CRASH, HANG, POISON_VOICES, SENTENCE
from scripts.chaos.poison_voices import note_death

FRAMES = 8  # of each phone of a planned segment; nothing here is rendered from it
LOOK_AGAIN_S = 0.01


@dataclass(frozen=True)
class Sentence:
    """What the front end gives: see megatts3.pipeline.plan.Phonemized."""

    text: str

    @property
    def phones(self) -> tuple[int, ...]:
        return tuple(self.text.encode())

    @property
    def tones(self) -> tuple[int, ...]:
        return (0,) * len(self.phones)


def planned(index: int, segment: Phonemized) -> PlannedSegment:
    return PlannedSegment(index, segment.text, segment.phones, segment.tones, (FRAMES,) * len(segment.phones))


@dataclass(frozen=True)
class Pace:
    """How fast it is: `rows` segments at once, each for `steps` steps of `step_s`."""

    rows: int = 4
    step_s: float = 0.02
    steps: int = 8


class CodedEngine:
    """See worker.speech_engine.SpeechEngine.  `spoken_log`: one line for each segment that was computed."""

    revision = "coded-1"
    device = "cpu"
    active_rows = queued = 0  # it does not count them

    def __init__(self, pace: Pace, *, spoken_log: Path | None = None) -> None:
        self.pace = pace
        self.capabilities = Capabilities(encoder=True, g2p_network=False, name="coded")
        self.counters = Counters()
        self.death: str | None = None
        self.rows_at_once = pace.rows
        self.clock = time.monotonic
        self.rows = threading.BoundedSemaphore(pace.rows)
        self._spoken_log = spoken_log
        self._hung_since: float | None = None
        self._is_alive = False

    @property
    def is_alive(self) -> bool:
        return self._is_alive

    @property
    def stalled_s(self) -> float:
        """How long the present step has lasted."""
        return 0.0 if self._hung_since is None else self.clock() - self._hung_since

    def start(self) -> None:
        self._is_alive = True

    def stop(self) -> None:
        self._is_alive = False

    def warm_up(self) -> None:
        time.sleep(self.pace.step_s)

    def prepare_voice(self, data: bytes, *, latent: NDArray[Any] | None = None) -> VoicePrompt:  # noqa: ARG002
        heard = decode(data).samples
        (code,) = codes_in(np.where(np.abs(heard) > 0.3, heard, 0.0))
        if code.voice in POISON_VOICES:
            note_death(self._spoken_log, code.voice)
            os.kill(os.getpid(), signal.SIGKILL)
        carried = np.full((4, 32), float(code.voice), dtype=np.float32)
        return VoicePrompt(carried, phones=(145, 148), tones=(0, 0), durations=(8, 8), loudness_lufs=-20.0)

    def read(self, text: str) -> Sequence[Sentence]:
        """The text front end: sentences."""
        found = [Sentence(match.group()) for match in SENTENCE.finditer(text)]
        if not found:
            raise TextEmpty
        return found

    def plan(self, text: str, voice: VoicePrompt, params: SamplingParams) -> Plan:  # noqa: ARG002
        return Plan(tuple(planned(index, each) for index, each in enumerate(self.read(text))))

    def submit(self, request: SynthesisRequest) -> "Running":
        running = Running(self, request)
        if any(CRASH in segment.text for segment in running.segments):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(HANG in segment.text for segment in running.segments):
            self._hung_since = self.clock()
        return running

    def speak(self, text: str, voice: VoicePrompt) -> Waveform:
        matched = SENTENCE.search(text)
        assert matched is not None, text
        number, part, parts = map(int, matched.groups())
        if self._spoken_log is not None:
            with self._spoken_log.open("a", encoding="ascii") as log:
                log.write(f"{number} {part} {int(voice.latent[0, 0])} {os.getpid()}\n")
        return Waveform(samples_of(Coded(number, part, parts, int(voice.latent[0, 0]))), SAMPLE_RATE)


class Running:
    """One request under way; runs on the thread that iterates, as many rows at once as the pace allows."""

    def __init__(self, engine: CodedEngine, request: SynthesisRequest) -> None:
        self._engine, self._request = engine, request
        passage = request.passage
        self.segments = engine.read(request.text) if passage is None else passage.segments
        self._first = 0 if passage is None else passage.first
        self._count = len(self.segments) if passage is None else passage.count
        self._done = self._steps = 0
        self._cancelled = threading.Event()

    @property
    def progress(self) -> Progress:
        count, steps = len(self.segments), self._engine.pace.steps
        return Progress(self._done, count, self._steps, count * steps)

    def cancel(self) -> None:
        self._cancelled.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __iter__(self) -> Iterator[SegmentResult]:
        for index, segment in enumerate(self.segments, start=self._first):
            while not self._engine.rows.acquire(timeout=LOOK_AGAIN_S):
                self._look()
            try:
                for _ in range(self._engine.pace.steps):
                    self._look()
                    time.sleep(self._engine.pace.step_s)
                    self._steps += 1
                spoken = self._engine.speak(segment.text, self._request.voice)
            finally:
                self._engine.rows.release()
            self._done += 1
            plan = planned(index, segment)
            yield SegmentResult(index, self._count, spoken, segment.text, spoken.duration_s, plan)

    def _look(self) -> None:
        """Between two steps; a hung engine never comes to its next one."""
        while self._engine.stalled_s:
            time.sleep(LOOK_AGAIN_S)
        if self._cancelled.is_set():
            raise Cancelled(self._request.request_id)
        if self._request.deadline_s is not None and self._engine.clock() >= self._request.deadline_s:
            raise DeadlineExceeded(self._request.request_id)
        if not self._engine.is_alive:
            raise EngineStopped
