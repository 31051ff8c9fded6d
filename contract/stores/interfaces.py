"""What the API and the worker ask of their stores.  Every method is safe from any thread.

A store that is away raises ServiceError(STORE_UNAVAILABLE); AudioCache never does: it misses.
Not here: jobs.py, segments.py, plans.py, webhooks.py; how it is done (redis_voices.py, filesystem.py, memory.py …).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path
from typing import BinaryIO, Protocol

from contract.canary import CanaryVerdict
from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import (
    AudioFormat,
    Voice,
    WorkerState,
)
from contract.stores.jobs import JobStore
from contract.stores.plans import PlanBoard
from contract.stores.segments import SegmentStore
from contract.stores.webhooks import WebhookStore


@unique
class EventKind(StrEnum):
    JOB = "job"
    VOICE = "voice"
    SEGMENT = "segment"  # among workers: id of a job one of whose segments ended, '' for new work, or a segment's key
    PLAN = "plan"  # one that was asked for is answered
    WORKER = "worker"  # a worker's process is known to have ended
    RESYNC = "resync"  # the connection was lost: anything may have changed, look again


CANCELLING = "cancelling"  # announced of a running job that is to stop; its status is `running` until it has


@dataclass(frozen=True)
class Event:
    """Something changed.  `status` is a JobStatus or VoiceStatus value, CANCELLING, or `deleted`; read the record for
    the rest.
    """

    kind: EventKind
    id: str = ""
    status: str = ""


class Events(Protocol):
    """One channel for all changes, so that one subscriber per process serves all waiters."""

    def publish(self, event: Event) -> None:
        """Tell everyone; the stores do this themselves on each transition."""
        ...

    def listen(self, stop: threading.Event) -> Iterator[Event]:
        """Every event from now until `stop`.

        The first is a RESYNC, sent once the subscription stands; after a lost connection comes another.
        """
        ...


@dataclass(frozen=True)
class Preparation:
    """A voice that a worker's process has begun to prepare.  is_buried: that process is known to have ended."""

    voice_id: str
    version: int
    worker: str
    pid: int
    is_buried: bool = False


VOICE_LOST = ErrorInfo(ErrorCode.WORKER_LOST, "preparing this recording took its workers down again and again")


class VoiceStore(Protocol):
    def create(self, voice: Voice, *, replace: bool = False) -> Voice:
        """Write a voice; the stored record (version, times) is returned.

        ServiceError(VOICE_EXISTS) when the id is taken and `replace` is False.
        """
        ...

    def get(self, voice_id: str) -> Voice | None: ...

    def has(self, voice_id: str) -> bool: ...

    def list(self) -> tuple[Voice, ...]:
        """All records, oldest first; a voice's further recordings (`style_of`) are among them."""
        ...

    def styles(self, voice_id: str) -> tuple[Voice, ...]:
        """A voice's further recordings, oldest first; its first one is the voice itself."""
        ...

    def prepared(
        self,
        voice_id: str,
        version: int,
        *,
        prompt_blob: str,
        revision: str,
        duration_s: float | None = None,
        quality: Mapping[str, object] | None = None,
    ) -> bool:
        """→ ready.  False: the voice is gone or was replaced meanwhile; nothing was written."""
        ...

    def failed(self, voice_id: str, version: int, error: ErrorInfo) -> bool:
        """→ failed.  False as in prepared."""
        ...

    def begin_preparing(
        self, voice_id: str, version: int, *, worker: str, suspects: bool = True, max_losses: int = 2
    ) -> bool:
        """Note that this process prepares it from now on, so that it is known should the process be lost.

        False: it is not to be prepared (any more), or so many are at it that their loss would be the last one.
        suspects False: nor one that a worker was lost with before.
        """
        ...

    def end_preparing(self, voice_id: str, *, worker: str) -> None:
        """This process is at it no more, whatever came of it."""
        ...

    def preparing(self) -> tuple[Preparation, ...]:
        """All that were begun and not ended, those of lost processes among them."""
        ...

    def bury(self, worker: str, pid: int) -> int:
        """A process is known to have ended: what it had begun is buried.  How many those are."""
        ...

    def lost(self, preparation: Preparation, *, max_losses: int = 2) -> Voice | None:
        """Its worker was lost: that is counted, and with so many losses the voice failed with VOICE_LOST.

        Answers the voice; None: somebody counted it before, or it is no longer to be prepared.
        """
        ...

    def update(
        self,
        voice_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        language: str | None = None,
        style: str | None = None,
        consent: str | None = None,
    ) -> Voice | None:
        """Change what a person may change; None: no such voice."""
        ...

    def delete(self, voice_id: str) -> Voice | None:
        """Erase the record; returns it so that blobs and cached audio can go too."""
        ...


STREAM_BYTES = 1 << 18  # of a blob at a time


@dataclass(frozen=True)
class Folder:
    """What lies under one name of an area, and when the last of it was written (Unix seconds)."""

    name: str
    changed_at: float


class BlobStore(Protocol):
    """Bytes by key.  A key is `<area>/<name>[/<name>…]`, made by blob_keys.py, never a path from a user."""

    def put(self, key: str, data: bytes) -> None:
        """Durable when it returns, never seen half written.  ServiceError(STORAGE_FULL): there is no room."""
        ...

    def put_all(self, blobs: Mapping[str, bytes]) -> None:
        """As `put`, each; together they wait for the disk less often."""
        ...

    def put_file(self, key: str, file: BinaryIO) -> None:
        """As `put`, of everything in an open file, which is not held in memory."""
        ...

    def get(self, key: str) -> bytes:
        """KeyError when there is none."""
        ...

    def stream(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        """The bytes from `start` on, a piece at a time; KeyError at once when there are none.  Close it to stop."""
        ...

    def path(self, key: str) -> Path | None:
        """A local file with these bytes, for sending ranges of it; None when the store has no files."""
        ...

    def exists(self, key: str) -> bool: ...

    def size_bytes(self, key: str) -> int:
        """KeyError when there is none."""
        ...

    def delete(self, key: str) -> bool:
        """False: there was none."""
        ...

    def delete_tree(self, prefix: str) -> int:
        """Erase every blob below `prefix`; how many."""
        ...

    def folders(self, area: str) -> Iterator[Folder]:
        """Everything below an area, by the first part of its name."""
        ...

    def require_room(self) -> None:
        """ServiceError(STORAGE_FULL) when no new work should come in; what is under way may still `put`."""
        ...


@dataclass(frozen=True)
class CachedAudio:
    """Encoded audio and what a person may want to know of it."""

    data: bytes
    voice_id: str
    audio_format: AudioFormat
    duration_s: float
    sample_rate: int
    created_at: float = 0.0
    hits: int = 0
    seed: int | None = None


@dataclass(frozen=True)
class CacheStats:
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expired: int = 0
    entries: int = 0
    size_bytes: int = 0
    max_bytes: int = 0
    unavailable: int = 0  # misses of this process because Redis was away

    @property
    def hit_ratio(self) -> float:
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


@dataclass(frozen=True)
class CacheEntry:
    """What a person may read of one entry.  `size_bytes` counts towards the budget; `audio_bytes` is decoded."""

    fingerprint: str
    voice_id: str
    audio_format: str
    duration_s: float
    size_bytes: int
    audio_bytes: int
    hits: int
    created_at: float
    expires_in_s: float


class AudioCache(Protocol):
    """Finished audio by fingerprint, least recently used out first.  Never raises: a broken cache misses.

    The three methods for people and for erasing (entries, delete_voice, purge) do raise when Redis is away.
    """

    def get(self, fingerprint: str) -> CachedAudio | None: ...

    def put(self, fingerprint: str, audio: CachedAudio) -> bool:
        """False: not kept (too large, switched off, or Redis away)."""
        ...

    def delete(self, fingerprint: str) -> bool: ...

    def delete_voice(self, voice_id: str) -> int:
        """Erase all audio made with a voice; how many."""
        ...

    def entries(self, *, limit: int = 100) -> tuple[CacheEntry, ...]:
        """The next to be evicted first.  Looking is no use: neither order nor counts change."""
        ...

    def purge(self) -> int:
        """Erase everything; how many entries.  The counts of hits and misses stay."""
        ...

    def stats(self) -> CacheStats: ...


class WorkerRegistry(Protocol):
    def heartbeat(self, worker: WorkerState, *, ttl_s: float) -> None:
        """Say that a worker lives; forgotten after `ttl_s`."""
        ...

    def remove(self, name: str) -> None: ...

    def list(self) -> tuple[WorkerState, ...]:
        """Workers alive now, by name."""
        ...

    def await_again(self, worker: WorkerState, *, ttl_s: float) -> None:
        """A ready worker is about to be replaced by another that can do the same; forgotten after `ttl_s`."""
        ...

    def awaited(self) -> WorkerState | None:
        """Who was last said to be replaced, as it was when it was ready."""
        ...


@dataclass(frozen=True)
class Chunk:
    """A piece of encoded audio on its way to the client."""

    sequence: int
    data: bytes
    is_last: bool = False
    about: Mapping[str, str] = field(default_factory=dict)


class ChunkStream(Protocol):
    """Chunks of running jobs, in order.  A second attempt starts over under its own token.

    They are only written for who wants them: a job nobody listens to costs no room here.
    """

    def want(self, job_id: str) -> None:
        """From now on, write this job's chunks, those of what is finished already included."""
        ...

    def is_wanted(self, job_id: str) -> bool: ...

    def append(self, job_id: str, token: int, chunk: Chunk) -> None:
        """Write the next chunk and announce its job."""
        ...

    def read(self, job_id: str, token: int, *, after: int = -1, wait_s: float = 0.0) -> tuple[Chunk, ...]:
        """Chunks with a sequence above `after`, some of them; waits up to `wait_s` when there are none yet."""
        ...


class CanaryBoard(Protocol):
    """Where the canary's verdict hangs, for health to see."""

    def take_turn(self, *, for_s: float) -> bool:
        """Whether the caller may speak this interval's sentence; the others get False."""
        ...

    def post(self, verdict: CanaryVerdict, *, ttl_s: float) -> None: ...

    def read(self) -> CanaryVerdict | None:
        """The last verdict; None when there is none, or it is too old to mean anything."""
        ...


@dataclass(frozen=True)
class Stores:
    """All stores of a process, opened together; see stores/opening.py."""

    jobs: JobStore
    voices: VoiceStore
    blobs: BlobStore
    audio_cache: AudioCache
    events: Events
    workers: WorkerRegistry
    chunks: ChunkStream
    canary: CanaryBoard
    segments: SegmentStore
    plans: PlanBoard
    webhooks: WebhookStore
    now: Callable[[], float] = time.time  # Unix seconds that all machines agree on
