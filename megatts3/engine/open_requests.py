"""The requests that are not over.  Callers add, the loop removes; a lock keeps both apart."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from megatts3.errors import EngineFull

if TYPE_CHECKING:
    from collections.abc import Sequence

    from megatts3.engine.request import SynthesisRequest
    from megatts3.engine.submission import Submission
    from megatts3.pipeline.plan import Phonemized


@dataclass(frozen=True, eq=False)
class OpenRequest:
    """A request, its text's segments, and its caller's end."""

    request: SynthesisRequest
    segments: Sequence[Phonemized]
    submission: Submission

    @property
    def id(self) -> str:
        return self.request.request_id


class OpenRequests:
    """By request id."""

    def __init__(self, max_segments: int | None) -> None:
        self._max_segments = max_segments
        self._lock = threading.Lock()
        self._requests: dict[str, OpenRequest] = {}

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, opened: OpenRequest) -> None:
        """ValueError for an id in use, EngineFull where there is no room for its segments."""
        with self._lock:
            if opened.id in self._requests:
                raise ValueError(f"request id {opened.id!r} is in use")
            unfinished = sum(other.submission.segments_left for other in self._requests.values())
            if self._max_segments is not None and unfinished + len(opened.segments) > self._max_segments:
                raise EngineFull(unfinished, self._max_segments)
            self._requests[opened.id] = opened

    def get(self, request_id: str) -> OpenRequest | None:
        return self._requests.get(request_id)

    def remove(self, request_id: str) -> OpenRequest | None:
        with self._lock:
            return self._requests.pop(request_id, None)

    def ids(self) -> list[str]:
        with self._lock:
            return list(self._requests)

    def cancelled(self) -> list[str]:
        """Requests whose callers gave them up."""
        with self._lock:
            return [i for i, opened in self._requests.items() if opened.submission.is_cancelled]
