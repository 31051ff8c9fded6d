"""In-memory twins of the stores, for tests; jobs and voices have files of their own beside this one."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from contract.blob_keys import checked
from contract.canary import CanaryVerdict
from contract.schemas import JobStatus, WorkerState
from contract.settings import Settings
from contract.stores.interfaces import CachedAudio, CacheEntry, CacheStats, Chunk, Event, EventKind, Folder, Stores
from contract.stores.memory_jobs import MemoryJobStore
from contract.stores.memory_plans import MemoryPlanBoard
from contract.stores.memory_segments import MemorySegmentStore
from contract.stores.memory_voices import MemoryVoiceStore
from contract.stores.memory_webhooks import MemoryWebhookStore


class MemoryEvents:
    """See interfaces.Events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[queue.SimpleQueue[Event]] = []

    def publish(self, event: Event) -> None:
        with self._lock:
            for listener in self._listeners:
                listener.put(event)

    def listen(self, stop: threading.Event) -> Iterator[Event]:
        mine: queue.SimpleQueue[Event] = queue.SimpleQueue()
        mine.put(Event(EventKind.RESYNC))
        with self._lock:
            self._listeners.append(mine)
        try:
            while not stop.is_set():
                try:
                    yield mine.get(timeout=0.05)
                except queue.Empty:
                    continue
        finally:
            with self._lock:
                self._listeners.remove(mine)


class MemoryBlobStore:
    """See interfaces.BlobStore."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._blobs[checked(key)] = bytes(data)

    def put_all(self, blobs: Mapping[str, bytes]) -> None:
        for key, data in blobs.items():
            self.put(key, data)

    def put_file(self, key: str, file: BinaryIO) -> None:
        file.seek(0)
        self.put(key, file.read())

    def get(self, key: str) -> bytes:
        return self._blobs[checked(key)]

    def path(self, key: str) -> Path | None:
        checked(key)
        return None

    def exists(self, key: str) -> bool:
        return checked(key) in self._blobs

    def size_bytes(self, key: str) -> int:
        return len(self._blobs[checked(key)])

    def delete(self, key: str) -> bool:
        with self._lock:
            return self._blobs.pop(checked(key), None) is not None

    def delete_tree(self, prefix: str) -> int:
        below = checked(prefix) + "/"
        with self._lock:
            doomed = [key for key in self._blobs if key.startswith(below)]
            for key in doomed:
                del self._blobs[key]
        return len(doomed)

    def stream(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        return iter((self._blobs[checked(key)][start:],))

    def folders(self, area: str) -> Iterator[Folder]:
        names = {key.split("/")[1] for key in tuple(self._blobs) if key.startswith(f"{area}/")}
        return (Folder(name, 0.0) for name in sorted(names))

    def require_room(self) -> None:
        """There always is."""


@dataclass(frozen=True)
class _Entry:
    audio: CachedAudio
    size_bytes: int
    expires_at: float


class MemoryAudioCache:
    """See interfaces.AudioCache."""

    def __init__(self, *, clock: Callable[[], float], ttl_s: float, max_bytes: int, enabled: bool = True) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._enabled = enabled
        self._lock = threading.RLock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # least recently used first
        self._counts = {"hits": 0, "misses": 0, "evictions": 0, "expired": 0}

    def get(self, fingerprint: str) -> CachedAudio | None:
        if not self._enabled:
            return None
        with self._lock:
            self._drop_expired()
            entry = self._entries.get(fingerprint)
            self._counts["misses" if entry is None else "hits"] += 1
            if entry is None:
                return None
            entry = replace(entry, audio=replace(entry.audio, hits=entry.audio.hits + 1))
            self._entries[fingerprint] = entry
            self._entries.move_to_end(fingerprint)
            return entry.audio

    def put(self, fingerprint: str, audio: CachedAudio) -> bool:
        size_bytes = len(audio.data)
        if not self._enabled or size_bytes > self._max_bytes:
            return False
        with self._lock:
            self._drop_expired()
            now_s = self._clock()
            self._entries.pop(fingerprint, None)
            audio = replace(audio, created_at=now_s, hits=0)
            self._entries[fingerprint] = _Entry(audio, size_bytes, now_s + self._ttl_s)
            while sum(e.size_bytes for e in self._entries.values()) > self._max_bytes:
                self._entries.popitem(last=False)
                self._counts["evictions"] += 1
            return True

    def delete(self, fingerprint: str) -> bool:
        with self._lock:
            return self._entries.pop(fingerprint, None) is not None

    def delete_voice(self, voice_id: str) -> int:
        with self._lock:
            self._drop_expired()
            doomed = [f for f, e in self._entries.items() if e.audio.voice_id == voice_id]
            for fingerprint in doomed:
                del self._entries[fingerprint]
        return len(doomed)

    def entries(self, *, limit: int = 100) -> tuple[CacheEntry, ...]:
        with self._lock:
            now_s = self._clock()
            listed = [(f, e) for f, e in self._entries.items() if e.expires_at > now_s][:limit]
        return tuple(
            CacheEntry(
                fingerprint=fingerprint,
                voice_id=entry.audio.voice_id,
                audio_format=entry.audio.audio_format.value,
                duration_s=entry.audio.duration_s,
                size_bytes=entry.size_bytes,
                audio_bytes=len(entry.audio.data),
                hits=entry.audio.hits,
                created_at=entry.audio.created_at,
                expires_in_s=entry.expires_at - now_s,
            )
            for fingerprint, entry in listed
        )

    def purge(self) -> int:
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
        return count

    def stats(self) -> CacheStats:
        with self._lock:
            self._drop_expired()
            held = sum(e.size_bytes for e in self._entries.values())
            return CacheStats(**self._counts, entries=len(self._entries), size_bytes=held, max_bytes=self._max_bytes)

    def _drop_expired(self) -> None:
        now_s = self._clock()
        for fingerprint in [f for f, e in self._entries.items() if e.expires_at <= now_s]:
            del self._entries[fingerprint]
            self._counts["expired"] += 1


class MemoryWorkerRegistry:
    """See interfaces.WorkerRegistry."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: dict[str, tuple[WorkerState, float]] = {}
        self._awaited: tuple[WorkerState, float] | None = None

    def await_again(self, worker: WorkerState, *, ttl_s: float) -> None:
        self._awaited = worker, self._clock() + ttl_s

    def awaited(self) -> WorkerState | None:
        found = self._awaited
        return found[0] if found is not None and found[1] > self._clock() else None

    def heartbeat(self, worker: WorkerState, *, ttl_s: float) -> None:
        now_s = self._clock()
        with self._lock:
            self._workers[worker.name] = (replace(worker, seen_at=now_s), now_s + ttl_s)

    def remove(self, name: str) -> None:
        with self._lock:
            self._workers.pop(name, None)

    def list(self) -> tuple[WorkerState, ...]:
        now_s = self._clock()
        with self._lock:
            return tuple(self._workers[n][0] for n in sorted(self._workers) if self._workers[n][1] > now_s)


class MemoryChunkStream:
    """See interfaces.ChunkStream."""

    def __init__(self, events: MemoryEvents) -> None:
        self._events = events
        self._changed = threading.Condition()
        self._chunks: dict[tuple[str, int], list[Chunk]] = {}
        self._wanted: set[str] = set()

    def want(self, job_id: str) -> None:
        self._wanted.add(job_id)

    def is_wanted(self, job_id: str) -> bool:
        return job_id in self._wanted

    def append(self, job_id: str, token: int, chunk: Chunk) -> None:
        with self._changed:
            self._chunks.setdefault((job_id, token), []).append(chunk)
            self._changed.notify_all()
        self._events.publish(Event(EventKind.JOB, job_id, JobStatus.RUNNING.value))

    def read(self, job_id: str, token: int, *, after: int = -1, wait_s: float = 0.0) -> tuple[Chunk, ...]:
        def found() -> tuple[Chunk, ...]:
            return tuple(c for c in self._chunks.get((job_id, token), ()) if c.sequence > after)

        with self._changed:
            self._changed.wait_for(found, timeout=wait_s)
            return found()


class MemoryCanaryBoard:
    """See interfaces.CanaryBoard."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turn_until = 0.0
        self._posted: tuple[CanaryVerdict, float] | None = None  # and until when it counts

    def take_turn(self, *, for_s: float) -> bool:
        with self._lock:
            if self._clock() < self._turn_until:
                return False
            self._turn_until = self._clock() + for_s
            return True

    def post(self, verdict: CanaryVerdict, *, ttl_s: float) -> None:
        self._posted = (verdict, self._clock() + ttl_s)

    def read(self) -> CanaryVerdict | None:
        posted = self._posted
        return posted[0] if posted is not None and self._clock() < posted[1] else None


def memory_stores(settings: Settings, *, clock: Callable[[], float] = time.time) -> Stores:
    """All twins, sharing one clock and one channel of events."""
    events = MemoryEvents()
    cache, webhooks = settings.cache, MemoryWebhookStore(clock=clock)
    jobs = MemoryJobStore(
        events,
        clock=clock,
        keep_s=settings.jobs.keep_s,
        idempotency_keep_s=settings.jobs.idempotency_keep_s,
        webhooks=webhooks,
    )
    return Stores(
        jobs=jobs,
        voices=MemoryVoiceStore(events, clock=clock),
        blobs=MemoryBlobStore(),
        audio_cache=MemoryAudioCache(clock=clock, ttl_s=cache.ttl_s, max_bytes=cache.max_bytes, enabled=cache.enabled),
        events=events,
        workers=MemoryWorkerRegistry(clock=clock),
        chunks=MemoryChunkStream(events),
        canary=MemoryCanaryBoard(clock=clock),
        segments=MemorySegmentStore(events, clock=clock),
        plans=MemoryPlanBoard(events, clock=clock),
        webhooks=webhooks,
    )
