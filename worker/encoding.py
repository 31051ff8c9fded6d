"""Segments → one encoded answer: join, change the rate, encode."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.errors import ErrorCode, ServiceError
from contract.schemas import SpeechRequest
from megatts3.audio.formats import encode, rate_written
from megatts3.audio.join import join
from megatts3.audio.resample import resample
from megatts3.audio.waveform import Waveform


@dataclass(frozen=True)
class EncodedAudio:
    """A whole answer as the client will get it."""

    data: bytes
    duration_s: float
    sample_rate: int


def join_segments(segments: Sequence[Waveform]) -> Waveform:
    """Never an empty or broken one: ServiceError(SYNTHESIS_FAILED)."""
    if not segments:
        raise ServiceError(ErrorCode.SYNTHESIS_FAILED, "the engine gave no audio")
    joined = join(segments)
    if len(joined.samples) == 0 or not np.isfinite(joined.samples).all():
        raise ServiceError(ErrorCode.SYNTHESIS_FAILED, "the engine gave audio that cannot be used")
    return joined


def encode_waveform(joined: Waveform, request: SpeechRequest) -> EncodedAudio:
    """In the request's own format and rate."""
    audio_format = request.response_format.value
    rate = rate_written(audio_format, request.sample_rate)
    return EncodedAudio(
        data=encode(resample(joined, rate), audio_format),
        duration_s=joined.duration_s,
        sample_rate=rate,
    )
