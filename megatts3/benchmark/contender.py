"""Who is measured: the engine, and two that speak one request at a time.

Each has a thread of its own for tensor work, and clients that wait for it, so that what differs is the work.
"""

from __future__ import annotations

import copy
import queue
import threading
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Protocol, Self

import torch

from megatts3.benchmark import baseline
from megatts3.engine.counters import Counters
from megatts3.engine.engine import Engine
from megatts3.engine.request import SynthesisRequest
from megatts3.pipeline.synthesize import speak_segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from megatts3.audio.waveform import Waveform
    from megatts3.benchmark.request import BenchRequest
    from megatts3.benchmark.subject import Subject
    from megatts3.checkpoint import Networks
    from megatts3.engine.config import EngineConfig

    _Answer = queue.SimpleQueue[Waveform | "_End"]

OURS, OURS_BF16, REFERENCE, BASELINE = "ours", "ours, bf16", "reference", "baseline"
OUR_NAMES = (OURS, OURS_BF16)


class Contender(Protocol):
    """Speaks; safe between threads."""

    @property
    def name(self) -> str: ...

    def speak(self, request: BenchRequest, /) -> Iterator[Waveform]:
        """Segments, each as soon as it can be had."""
        ...

    @property
    def counters(self) -> Counters: ...

    def close(self) -> None: ...


@dataclass(frozen=True, eq=False)
class _End:
    error: Exception | None


class OneAtATime:
    """First come, first served, by one thread."""

    def __init__(self, name: str, speak: Callable[[BenchRequest], Iterable[Waveform]]) -> None:
        self.name = name
        self.counters = Counters()
        self._speak = speak
        self._threads = torch.get_num_threads()
        self._waiting: queue.SimpleQueue[tuple[BenchRequest, _Answer] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"bench-{name}", daemon=True)
        self._thread.start()

    def speak(self, request: BenchRequest) -> Iterator[Waveform]:
        said: _Answer = queue.SimpleQueue()
        self._waiting.put((request, said))
        while not isinstance(part := said.get(), _End):
            yield part
        if part.error is not None:
            raise part.error

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (asked := self._waiting.get()) is not None:
            torch.set_num_threads(self._threads)  # in part the whole process's; an engine's lanes leave fewer behind
            request, said = asked
            error: Exception | None = None
            try:
                for waveform in self._speak(request):
                    said.put(waveform)
            except Exception as raised:  # noqa: BLE001  it is the client's
                error = raised
            self._count(request)
            said.put(_End(error))

    def _count(self, request: BenchRequest) -> None:
        """Rows of one, without padding."""
        counters = self.counters
        for segment in request.expected.segments:
            frames, steps = request.voice.prompt.latent_frames + segment.latent_frames, request.params.steps
            counters = counters.plus(
                steps=steps,
                row_steps=steps,
                useful_frames=steps * frames,
                computed_frames=steps * frames,
                segments=1,
                audio_s=segment.duration_s,
            )
        self.counters = counters


def reference(subject: Subject) -> OneAtATime:
    """The slow, obvious path of megatts3/pipeline, the voice prepared once."""

    def speak(request: BenchRequest) -> Iterator[Waveform]:
        return speak_segments(subject.networks, subject.frontend, request.text, request.voice.prompt, request.params)

    return OneAtATime(REFERENCE, speak)


def upstream_way(subject: Subject) -> OneAtATime:
    """See megatts3/benchmark/baseline.py."""
    return OneAtATime(BASELINE, lambda request: baseline.speak(subject, request))


def _in_precision(networks: Networks, config: EngineConfig) -> Networks:
    """As Engine.load would have loaded them: the DiT in the engine's precision, the rest in float32."""
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(config.precision)
    return networks if dtype is None else replace(networks, dit=copy.deepcopy(networks.dit).to(dtype))


class Ours:
    """The engine."""

    def __init__(self, engine: Engine, name: str = OURS) -> None:
        self.engine, self.name = engine, name
        self._numbers = count()

    @classmethod
    def of(cls, subject: Subject, config: EngineConfig, name: str = OURS) -> Self:
        """Started."""
        engine = Engine(_in_precision(subject.networks, config), subject.frontend, config)
        engine.start()
        return cls(engine, name)

    def speak(self, request: BenchRequest) -> Iterator[Waveform]:
        asked = SynthesisRequest(f"bench-{next(self._numbers)}", request.text, request.voice.prompt, request.params)
        with self.engine.submit(asked) as submission:
            for segment in submission:
                yield segment.waveform

    @property
    def counters(self) -> Counters:
        return self.engine.counters

    def close(self) -> None:
        self.engine.stop()
