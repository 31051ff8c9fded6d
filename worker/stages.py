"""The stages of one job's way through a worker: measured once, told as metric, span and Server-Timing."""

import contextlib
import time
from collections.abc import Callable, Iterator

from contract.tracing import OpenSpan, Tracing, unix_of
from megatts3.api import SegmentResult
from worker.figures import Figures
from worker.segment_times import SegmentTrace


class Stages:
    """Milliseconds by stage, of one job.  Used by one thread at a time."""

    def __init__(self, figures: Figures, tracing: Tracing) -> None:
        self._figures, self._tracing = figures, tracing
        self.spent_ms: dict[str, float] = {}
        self._open: OpenSpan | None = None
        self._name, self._began_s = "", 0.0

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """One stage, from here to the end of the block."""
        began = time.perf_counter()
        try:
            with self._tracing.span(name):
                yield
        finally:
            self._note(name, time.perf_counter() - began)

    def rounded_ms(self) -> dict[str, float]:
        """For the job's record."""
        return {name: round(spent_ms, 1) for name, spent_ms in self.spent_ms.items()}

    def begin(self, name: str) -> Callable[[], contextlib.AbstractContextManager[object]]:
        """A stage that goes on without a thread: what is called to be within it.  See `end`."""
        self._began_s, self._open, self._name = time.perf_counter(), self._tracing.begin(name), name
        return self._open.within

    def end(self) -> None:
        """Of what `begin` began."""
        if self._open is not None:
            self._open.end()
            self._open = None
            self._note(self._name, time.perf_counter() - self._began_s)

    def spent(self, name: str, seconds: float) -> None:
        """A stage that was measured elsewhere, or in pieces."""
        self._note(name, seconds)

    def queued(self, began_at: float, ended_at: float) -> None:
        """What was before the worker: Unix seconds."""
        self._tracing.record("queue", began_at, ended_at)

    def segment(self, result: SegmentResult) -> None:
        """What the engine did for one segment; an engine that does not say is passed over."""
        times = result.times
        if times is None:
            return
        parts = {
            "prepare": (times.prepare_from, times.prepare_to),
            "steps": (times.steps_from, times.steps_to),
            "decode": (times.steps_to, times.decode_to),
        }
        for name, (began, ended) in parts.items():
            self._tracing.record(name, unix_of(began), unix_of(ended), segment=result.index)
            self._note(name, ended - began)

    def rendered(self, trace: SegmentTrace) -> None:
        """The same of a segment that any worker rendered for this job; its wait is a span only."""
        for name, began, ended in trace.stages():
            self._tracing.record(name, began, ended, segment=trace.index, worker=trace.worker)
            if name != "queue":
                self._note(name, max(0.0, ended - began))

    def _note(self, name: str, seconds: float) -> None:
        self.spent_ms[name] = self.spent_ms.get(name, 0.0) + seconds * 1000
        self._figures.stage(name, seconds)
