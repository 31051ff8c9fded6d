"""Load: clients that come back when they are answered (closed loop), or that come when they like (offered load)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from megatts3.rates import LATENT_RATE

if TYPE_CHECKING:
    from megatts3.benchmark.contender import Contender
    from megatts3.benchmark.request import BenchRequest
    from megatts3.engine.counters import Counters

# Half precision may round a phone's length the other way: so much of the plan may be missing.
LENGTH_TOLERANCE = 0.01
LENGTH_TOLERANCE_S = 2 / LATENT_RATE
_SILENT_RMS = 1e-4


@dataclass(frozen=True)
class Timing:
    """One request as its client saw it; seconds on one clock.

    to_first_processor_s: of all this process's threads up to its first sound: its own if it had no company
    wrong: why what came back is not what was asked for, if it is not
    """

    number: int
    submitted_s: float
    first_audio_s: float
    done_s: float
    to_first_processor_s: float
    audio_s: float
    expected_s: float
    wrong: str | None = None

    @property
    def latency_s(self) -> float:
        return self.done_s - self.submitted_s

    @property
    def to_first_audio_s(self) -> float:
        return self.first_audio_s - self.submitted_s


@dataclass(frozen=True)
class Window:
    """A stretch of load, from the first request's coming to the last one's end.

    processor_s: of all this process's threads;  before, after: the contender's counters at both ends
    """

    timings: tuple[Timing, ...]
    processor_s: float
    before: Counters
    after: Counters

    @property
    def duration_s(self) -> float:
        return max(t.done_s for t in self.timings) - min(t.submitted_s for t in self.timings)


def closed_loop(contender: Contender, asked: Sequence[BenchRequest], clients: int) -> Window:
    """So many clients, each of which comes with the next request once its last one is answered."""
    with _measured(contender) as found, ThreadPoolExecutor(clients) as pool:
        found.extend(pool.map(lambda request: ask(contender, request), asked))
    return found.window()


def offered_load(contender: Contender, asked: Sequence[BenchRequest], per_second: float, seed: int) -> Window:
    """Requests come at random moments, so many a second on average, whether or not others are answered."""
    source = random.Random(seed)  # noqa: S311  nothing is kept secret by it
    with _measured(contender) as found, ThreadPoolExecutor(len(asked)) as pool:
        due_s, futures = time.perf_counter(), []
        for request in asked:
            due_s += source.expovariate(per_second)
            time.sleep(max(0.0, due_s - time.perf_counter()))
            futures.append(pool.submit(ask, contender, request))
        found.extend(future.result() for future in futures)
    return found.window()


def ask(contender: Contender, request: BenchRequest) -> Timing:
    """One request from its coming to its last segment; what comes is held against the plan."""
    submitted_s, used_s = time.perf_counter(), time.process_time()
    first: tuple[float, float] | None = None
    audio_s, wrong = 0.0, None
    try:
        for waveform in contender.speak(request):
            first = first or (time.perf_counter(), time.process_time() - used_s)
            audio_s += waveform.duration_s
            wrong = wrong or _unsound(waveform.samples)
    except Exception as error:  # noqa: BLE001  a figure of its own
        wrong = f"{type(error).__name__}: {error}"
    done_s = time.perf_counter()
    expected_s = request.expected_s
    if wrong is None and abs(audio_s - expected_s) > LENGTH_TOLERANCE * expected_s + LENGTH_TOLERANCE_S:
        wrong = f"{audio_s:.2f} s of sound where the plan has {expected_s:.2f} s"
    first_s, first_used_s = first or (done_s, time.process_time() - used_s)
    return Timing(request.number, submitted_s, first_s, done_s, first_used_s, audio_s, expected_s, wrong)


def _unsound(samples: np.ndarray) -> str | None:
    if not np.isfinite(samples).all():
        return "sound that is not finite"
    return "silence" if float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) < _SILENT_RMS else None


class _Found(list[Timing]):
    """Timings as they come in, and what the contender counted around them."""

    def __init__(self, contender: Contender) -> None:
        super().__init__()
        self._contender = contender
        self._before, self._started_s = contender.counters, time.process_time()
        self._window: Window | None = None

    def close(self) -> None:
        used_s = time.process_time() - self._started_s
        self._window = Window(tuple(self), used_s, self._before, self._contender.counters)

    def window(self) -> Window:
        assert self._window is not None, "the load has not ended"
        return self._window


@contextmanager
def _measured(contender: Contender) -> Iterator[_Found]:
    found = _Found(contender)
    yield found
    found.close()
