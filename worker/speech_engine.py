"""What the worker asks of an engine.  megatts3.api.Engine is one; the tests bring a second.

Types are the library's own; only behaviour is restated here.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from megatts3.api import (
    Capabilities,
    Counters,
    Plan,
    Progress,
    SamplingParams,
    SegmentResult,
    SynthesisRequest,
    VoicePrompt,
)
from megatts3.pipeline.plan import Phonemized


class RunningRequest(Protocol):
    """A request the engine works on: iterate for its segments in order; raises the library's errors."""

    @property
    def progress(self) -> Progress: ...

    def __iter__(self) -> Iterator[SegmentResult]: ...

    def cancel(self) -> None:
        """Stop between two solver steps; the iteration then raises Cancelled."""
        ...


class SpeechEngine(Protocol):
    """Text and a voice in, segments out; safe to call from many threads."""

    @property
    def is_alive(self) -> bool: ...

    @property
    def stalled_s(self) -> float:
        """How long the present step has lasted; 0 between steps."""
        ...

    @property
    def death(self) -> str | None:
        """What took the device from this process; None while it has it."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def counters(self) -> Counters: ...

    @property
    def revision(self) -> str: ...

    @property
    def rows_at_once(self) -> int:
        """Most segments that are computed at the same time."""
        ...

    @property
    def active_rows(self) -> int:
        """Segments under way."""
        ...

    @property
    def queued(self) -> int:
        """Segments that wait in it."""
        ...

    def prepare_voice(self, data: bytes, *, latent: NDArray[Any] | None = None) -> VoicePrompt:
        """Reference audio (bytes of a file) and perhaps its latent (T, 32) → the prompt."""
        ...

    def read(self, text: str) -> Sequence[Phonemized]:
        """The segments of a text; raises TextEmpty."""
        ...

    def plan(self, text: str, voice: VoicePrompt, params: SamplingParams) -> Plan: ...

    def submit(self, request: SynthesisRequest) -> RunningRequest: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def warm_up(self) -> None: ...
