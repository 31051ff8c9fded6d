"""The caller's end of a request: results in order, progress, cancelling.  Safe between threads."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Self

from megatts3.engine.request import Progress, SegmentResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from megatts3.errors import MegaTTS3Error


class Submission:
    """A request that was handed to the engine.

    Iterating waits for segments and gives each once, in the order of the text; where the request
    fails, it raises the library's error after the segments that were finished before.  As a context
    manager it cancels what is not finished when the block is left.
    """

    def __init__(self, request_id: str, segments: int, steps_a_segment: int) -> None:
        self.request_id = request_id
        self._changed = threading.Condition()
        self._results: deque[SegmentResult] = deque()
        self._early: dict[int, SegmentResult] = {}
        self._segments = segments
        self._steps_total = segments * steps_a_segment
        self._segments_done = 0
        self._steps_done = 0
        self._released = 0
        self._error: MegaTTS3Error | None = None
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[SegmentResult]:
        return self

    def __next__(self) -> SegmentResult:
        with self._changed:
            self._changed.wait_for(lambda: self._results or self.is_over)
            if self._results:
                return self._results.popleft()
            if self._error is not None:
                raise self._error
            raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self._error is not None or self._segments_done == self._segments

    @property
    def is_cancelled(self) -> bool:
        """Somebody asked for an end; the engine obeys between two steps."""
        return self._cancelled.is_set()

    @property
    def segments_left(self) -> int:
        return 0 if self.is_over else self._segments - self._segments_done

    @property
    def error(self) -> MegaTTS3Error | None:
        return self._error

    @property
    def progress(self) -> Progress:
        with self._changed:
            return Progress(self._segments_done, self._segments, self._steps_done, self._steps_total)

    def cancel(self) -> None:
        """Give the request up.  What is finished already can still be taken."""
        self._cancelled.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing more will come; False where the time is up before."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_over, timeout_s)

    # For the engine's loop alone:

    def count_step(self) -> None:
        with self._changed:
            self._steps_done += 1

    def deliver(self, result: SegmentResult) -> None:
        """Take a segment that is finished; it is given out after those before it."""
        with self._changed:
            self._segments_done += 1
            self._early[result.index] = result
            while (following := self._early.pop(self._released, None)) is not None:
                self._results.append(following)
                self._released += 1
            self._changed.notify_all()

    def fail(self, error: MegaTTS3Error) -> None:
        """End the request; a second error is not heard."""
        with self._changed:
            if not self.is_over:
                self._error = error
            self._changed.notify_all()
