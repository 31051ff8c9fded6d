"""A finished speech is kept: its blob, its times, the audio cache; and told to the figures and the log."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, JobResult, SpeechRequest
from contract.stores.interfaces import CachedAudio, Stores
from contract.telemetry import event_log
from megatts3.api import SegmentResult
from megatts3.audio.join import OVERLAP_S
from worker.figures import Figures
from worker.throughput import Throughput

log = event_log(__name__)

MOST_CACHED_BYTES = 64_000_000  # a longer answer is a book: its segments are kept, and Redis is no place for it


@dataclass(frozen=True)
class Sound:
    """Encoded audio, open from wherever it is."""

    file: BinaryIO
    duration_s: float
    sample_rate: int
    is_file: bool = True  # else it is in memory

    @classmethod
    def of_bytes(cls, data: bytes, duration_s: float, sample_rate: int) -> "Sound":
        return cls(io.BytesIO(data), duration_s, sample_rate, is_file=False)


@dataclass(frozen=True)
class Told:
    """What there is to say of how it was made."""

    synthesis_s: float
    segments: int = 1
    reused: int = 0
    predicted_s: float | None = None
    from_cache: bool = False
    stages_ms: Mapping[str, float] | None = None
    times: bytes | None = None  # of a blob beside it


class Keeper:
    """Safe from many threads."""

    def __init__(
        self, stores: Stores, figures: Figures, throughput: Throughput, *, unix_s: Callable[[], float]
    ) -> None:
        self._stores, self._figures, self._throughput, self._unix_s = stores, figures, throughput, unix_s

    def require_voice(self, request: SpeechRequest, *, is_uploaded: bool) -> None:
        """VOICE_NOT_FOUND where the voice was erased meanwhile, and with it all that was made from it."""
        if not is_uploaded and not self._stores.voices.has(request.voice_id):
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND)

    def keep(self, blob: str, times_blob: str, sound: Sound, request: SpeechRequest, told: Told) -> JobResult:
        beside = {} if told.times is None else {times_blob: told.times}
        if sound.is_file:
            self._stores.blobs.put_file(blob, sound.file)
            self._stores.blobs.put_all(beside)
        else:
            sound.file.seek(0)
            self._stores.blobs.put_all({blob: sound.file.read(), **beside})
        size_bytes = sound.file.seek(0, io.SEEK_END)
        return JobResult(
            audio_blob=blob,
            audio_format=request.response_format,
            duration_s=sound.duration_s,
            sample_rate=sound.sample_rate,
            size_bytes=size_bytes,
            synthesis_s=told.synthesis_s,
            segments=told.segments,
            segments_reused=told.reused,
            predicted_s=told.predicted_s,
            from_cache=told.from_cache,
            stages_ms=told.stages_ms or {},
            timestamps_blob=None if told.times is None else times_blob,
        )

    def remember(self, fingerprint: str | None, sound: Sound, request: SpeechRequest, *, is_uploaded: bool) -> None:
        """In the audio cache, for who asks again; nothing made from a voice that was erased meanwhile."""
        if fingerprint is None or not request.cache or sound.file.seek(0, io.SEEK_END) > MOST_CACHED_BYTES:
            return
        if not is_uploaded and not self._stores.voices.has(request.voice_id):
            return
        sound.file.seek(0)
        self._stores.audio_cache.put(
            fingerprint,
            CachedAudio(
                data=sound.file.read(),
                voice_id=request.voice_id,
                audio_format=request.response_format,
                duration_s=sound.duration_s,
                sample_rate=sound.sample_rate,
                created_at=self._unix_s(),
                seed=request.seed,
            ),
        )

    def spoken(self, job: Job, result: JobResult) -> None:
        """The job's audio is there: figures, and the line in the log."""
        audio_s, synthesis_s = result.duration_s, result.synthesis_s
        self._throughput.note(audio_s=audio_s, synthesis_s=synthesis_s)
        self._figures.spoken(audio_s=audio_s, synthesis_s=synthesis_s)
        log.synthesis_time(
            synthesis_s,
            job=job.id,
            voice=job.request.voice_id,
            audio_s=round(audio_s, 3),
            rtf=round(result.rtf, 3),
            segments=result.segments,
            reused=result.segments_reused,
        )


def predicted_duration_s(planned_s: Sequence[float]) -> float:
    """What the plan said the joined audio would last, before anything was rendered."""
    return sum(planned_s) - OVERLAP_S * max(0, len(planned_s) - 1)


def planned_of(segments: Sequence[SegmentResult]) -> list[float]:
    return [segment.planned_s for segment in segments]
