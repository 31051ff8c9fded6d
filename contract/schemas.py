"""The things both sides speak of: requests, jobs, voices, workers.  Plain frozen dataclasses.

How they are read from a client's JSON or form is wire.py; how they are written to Redis is records.py.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import MappingProxyType
from typing import NamedTuple

from contract.errors import ErrorInfo

DEFAULT_VOICE = "default"
DEFAULT_SAMPLE_RATE = 24_000  # samples per second: the network's own
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
VOICE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")  # no leading dot: an id is also a folder's name


@unique
class AudioFormat(StrEnum):
    """Forms an answer can have; the value is the file extension."""

    WAV = "wav"
    MP3 = "mp3"
    OPUS = "opus"
    FLAC = "flac"
    AAC = "aac"
    PCM = "pcm"

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPES[self]

    @property
    def is_streamable(self) -> bool:
        """Can it be sent while it is made?  Readers of FLAC want its length, which is known at the end."""
        return self is not AudioFormat.FLAC


_CONTENT_TYPES: Mapping[AudioFormat, str] = {
    AudioFormat.WAV: "audio/wav",
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.OPUS: "audio/ogg",
    AudioFormat.FLAC: "audio/flac",
    AudioFormat.AAC: "audio/aac",
    AudioFormat.PCM: "audio/pcm",
}


@unique
class StreamFormat(StrEnum):
    AUDIO = "audio"
    SSE = "sse"


@unique
class Quality(StrEnum):
    """Names of solver grids with their step counts; see LEVELS."""

    DRAFT = "draft"
    STANDARD = "standard"
    HIGH = "high"


class Level(NamedTuple):
    """Where the solver looks, by the name of the library's time grid, and how often."""

    grid: str
    time_step: int


LEVELS: Mapping[Quality, Level] = MappingProxyType(
    {
        Quality.DRAFT: Level("eased", 8),
        Quality.STANDARD: Level("eased", 16),
        Quality.HIGH: Level("sway", 32),
    }
)
"""Chosen by measurement: docs/performance.md."""


@unique
class Priority(StrEnum):
    INTERACTIVE = "interactive"
    BATCH = "batch"


@dataclass(frozen=True)
class SpeechRequest:
    """What is to be said and how; every default filled in.  `seed` None is derived from the content."""

    text: str
    voice_id: str = DEFAULT_VOICE
    speed: float = 1.0
    pitch: float = 1.0
    emotion: str = "neutral"
    time_step: int = 32  # solver steps
    p_w: float = 1.6  # text guidance
    t_w: float = 2.5  # speaker guidance
    seed: int | None = None
    cache: bool = True
    strict: bool = False
    quality: Quality | None = None
    grid: str = "sway"  # time grid of the solver; only a quality chooses another
    response_format: AudioFormat = AudioFormat.WAV
    sample_rate: int = DEFAULT_SAMPLE_RATE
    stream: bool = False
    stream_format: StreamFormat = StreamFormat.AUDIO


@dataclass(frozen=True)
class JobSubmission:
    """The body of `POST /api/v1/jobs`: a request, or several items, and how the job is to be treated."""

    request: SpeechRequest
    items: tuple[SpeechRequest, ...] = ()
    ssml: str | None = None
    priority: Priority = Priority.BATCH
    deadline_s: float | None = None
    webhook_url: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@unique
class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in {JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED}


@dataclass(frozen=True)
class JobProgress:
    segments_done: int = 0
    segments_total: int = 0
    steps_done: int = 0
    steps_total: int = 0
    audio_s: float = 0.0  # seconds of audio finished so far
    items_done: int = 0  # of a job of items
    items_failed: int = 0
    is_ending: bool = False  # of several segments: it, or an item of it, is being joined and encoded at this moment


@dataclass(frozen=True)
class JobResult:
    """What a finished job, or one item of it, left behind.  `audio_blob` is a BlobStore key; '' for a job of items,
    each of which has its own.
    """

    audio_blob: str
    audio_format: AudioFormat
    duration_s: float
    sample_rate: int
    size_bytes: int
    synthesis_s: float  # compute time from claim to encoded audio
    segments: int = 1
    segments_reused: int = 0  # of those, how many other requests had left behind
    predicted_s: float | None = None  # what the plan said before rendering; None: taken from the cache
    from_cache: bool = False
    timestamps_blob: str | None = None
    warnings: tuple[str, ...] = ()
    stages_ms: Mapping[str, float] = field(default_factory=dict)  # milliseconds by stage of the worker's way

    @property
    def cache(self) -> str:
        """hit, partial or miss: how much of it was there already."""
        if self.from_cache or self.segments_reused == self.segments:
            return "hit"
        return "partial" if self.segments_reused else "miss"

    @property
    def rtf(self) -> float:
        """Seconds of compute per second of audio."""
        return self.synthesis_s / self.duration_s if self.duration_s else 0.0


@dataclass(frozen=True)
class Item:
    """One text of a job of items, complete, with the fingerprint of its audio."""

    request: SpeechRequest
    fingerprint: str | None = None


@dataclass(frozen=True)
class ItemState:
    """How one item of a job stands; one that nothing is noted of waits."""

    status: JobStatus
    result: JobResult | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True)
class Job:
    """The record of one submitted piece of work: the only state there is.  Times are Unix seconds."""

    id: str
    request: SpeechRequest
    status: JobStatus = JobStatus.QUEUED
    priority: Priority = Priority.INTERACTIVE
    created_at: float = 0.0
    queued_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    estimate_s: float = 0.0  # expected seconds of audio, see fingerprint.estimate_audio_s
    deadline_at: float | None = None
    attempts: int = 0  # claims so far
    lost_at: int | None = None  # place of the segment that a worker was lost with as it joined it
    token: int = 0  # fencing token of the last claim
    lease_until: float | None = None
    worker: str | None = None
    cancel_requested: bool = False
    progress: JobProgress = JobProgress()
    result: JobResult | None = None
    error: ErrorInfo | None = None
    fingerprint: str | None = None  # of the audio; None: neither shared nor cached
    shares: str | None = None  # the job whose work this one has a part in, see work_id
    follows: bool = False  # another job leads that work now
    written: int | None = None  # characters of the text, which a job that follows does not hold
    items: int = 0  # texts it has instead of the request's, see blob_keys.job_items; 0: none
    voices: tuple[str, ...] = ()  # all that its items are spoken with
    reference_audio_blob: str | None = None  # uploaded with the request; None: a registered voice
    reference_latent_blob: str | None = None
    request_id: str | None = None
    owner: str | None = None  # id of the API key, never the key
    idempotency_key: str | None = None
    webhook_url: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def work_id(self) -> str:
        """Under which the work of equal jobs has its files, segments and chunks: the id of the first of them."""
        return self.shares or self.id

    @property
    def voice_ids(self) -> frozenset[str]:
        """Every registered voice it is spoken with."""
        return frozenset(self.voices) if self.items else frozenset({self.request.voice_id})

    @property
    def characters(self) -> int:
        return len(self.request.text) if self.written is None else self.written


@unique
class VoiceStatus(StrEnum):
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


@unique
class VoiceType(StrEnum):
    """Where a voice comes from."""

    BUILTIN = "builtin"  # shipped with the checkpoint
    CUSTOM = "custom"  # uploaded
    PROFILE = "profile"  # a pair of files in the read-only folder


@dataclass(frozen=True)
class Voice:
    """The record of one voice.  `version` rises with each replaced recording; times are Unix seconds."""

    id: str
    name: str
    type: VoiceType = VoiceType.CUSTOM
    status: VoiceStatus = VoiceStatus.PREPARING
    version: int = 1
    description: str = ""
    language: str | None = None
    style: str = "neutral"
    style_of: str | None = None  # the voice this is a further recording of, see voice_styles.py
    consent: str | None = None
    clip_blob: str | None = None
    latent_blob: str | None = None
    prompt_blob: str | None = None  # prompt.safetensors, once ready
    fingerprint: str | None = None  # of the clip's and latent's bytes, see fingerprint.voice_fingerprint
    revision: str | None = None  # of the checkpoint that made the prompt
    duration_s: float | None = None
    quality: Mapping[str, object] = field(default_factory=dict)  # the reference-clip check
    error: ErrorInfo | None = None
    losses: int = 0  # workers that were lost while they prepared it
    created_at: float = 0.0
    updated_at: float = 0.0
    request_id: str | None = None
    owner: str | None = None


@dataclass(frozen=True)
class WorkerState:
    """One worker's heartbeat."""

    name: str
    pid: int
    host: str
    device: str
    precision: str
    ready: bool
    checkpoint: str = ""
    revision: str = ""
    encoder_available: bool = False
    gpu_available: bool = False
    capabilities: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()  # formats of reference audio it can decode
    writes: tuple[str, ...] = ()  # formats of answers it can encode
    max_rows: int = 1  # segments computed at the same time
    active_jobs: int = 0
    active_rows: int = 0  # segments its engine has, those that wait in it included
    rtf: float | None = None  # measured lately: seconds of compute per second of audio
    audio_s_per_s: float | None = None  # measured lately, all rows together
    wait_p95_s: Mapping[str, float] = field(default_factory=dict)  # by priority: 19 of 20 jobs waited no longer
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    gpu_utilization: float | None = None  # 0 … 1
    started_at: float = 0.0
    seen_at: float = 0.0
    problem: str | None = None  # why it is not ready


def new_id(kind: str) -> str:
    """A fresh id such as `job_4f3c…`: 96 random bits, safe in URLs and file names."""
    return f"{kind}_{secrets.token_hex(12)}"
