"""The public face of the library.

    from megatts3.api import Synthesizer, encode

    speaker = Synthesizer.load("checkpoints/mini")
    voice = speaker.voice("me.wav")
    Path("hello.wav").write_bytes(encode(speaker.say("Hello there.", voice), "wav"))

`Synthesizer` is the plain way for one thread; `Engine` serves many requests at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from megatts3.audio.formats import decode, encode, writable_formats
from megatts3.audio.join import Joiner, join
from megatts3.audio.resample import resample
from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import Capabilities, Networks, load_networks
from megatts3.engine.config import EngineConfig
from megatts3.engine.counters import Counters
from megatts3.engine.engine import Engine
from megatts3.engine.request import Passage, Priority, Progress, SegmentResult, SegmentTimes, SynthesisRequest
from megatts3.engine.submission import Submission
from megatts3.pipeline.plan import Plan, PlannedSegment, plan
from megatts3.pipeline.pronounce import frontend_of
from megatts3.pipeline.supplied_latent import parse_latent
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.timing import TimedSegment, TimedWord, timings
from megatts3.pipeline.voice import VoicePrompt, prepare_voice
from megatts3.sampling.params import SamplingParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from megatts3.pipeline.plan import Frontend

__all__ = [
    "Capabilities",
    "Counters",
    "Engine",
    "EngineConfig",
    "Joiner",
    "Passage",
    "Plan",
    "PlannedSegment",
    "Priority",
    "Progress",
    "SamplingParams",
    "SegmentResult",
    "SegmentTimes",
    "Submission",
    "SynthesisRequest",
    "Synthesizer",
    "TimedSegment",
    "TimedWord",
    "VoicePrompt",
    "Waveform",
    "decode",
    "encode",
    "join",
    "parse_latent",
    "resample",
    "timings",
    "writable_formats",
]


class Synthesizer:
    """Text and a voice in, a waveform out; one request at a time."""

    def __init__(self, networks: Networks, frontend: Frontend) -> None:
        self._networks = networks
        self._frontend = frontend

    @classmethod
    def load(cls, checkpoint_dir: Path | str, *, device: str = "cpu") -> Self:
        """From a checkpoint directory; CheckpointError where it is incomplete."""
        networks = load_networks(checkpoint_dir, device=device)
        return cls(networks, frontend_of(networks))

    def voice(
        self, audio: Path | str | bytes, *, latent: NDArray[np.generic] | Path | str | bytes | None = None
    ) -> VoicePrompt:
        """A voice from an audio file or its bytes.  Raises InputError's kinds, OSError for a path.

        latent: a `.npy` file, its bytes, or the array; needed where the weights have no encoder
        """
        data = audio if isinstance(audio, bytes) else Path(audio).read_bytes()
        if latent is not None and not isinstance(latent, np.ndarray):
            latent = parse_latent(latent if isinstance(latent, bytes) else Path(latent).read_bytes())
        return prepare_voice(self._networks, decode(data), latent=latent)

    def plan(self, text: str, voice: VoicePrompt, params: SamplingParams | None = None) -> Plan:
        """What `say` would speak, with its durations, without speaking it."""
        return plan(self._networks, self._frontend, text, voice, params or SamplingParams())

    def say(self, text: str, voice: VoicePrompt, params: SamplingParams | None = None) -> Waveform:
        """Speak a text.  The same text, voice and parameters always give the same waveform."""
        return synthesize(self._networks, self._frontend, text, voice, params or SamplingParams())
