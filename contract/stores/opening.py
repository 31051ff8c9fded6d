"""Open all stores of a process.  Nothing is connected until it is used."""

from __future__ import annotations

from contract.redis_keys import RedisKeys
from contract.settings import Settings, StorageSettings
from contract.stores.connection import Clock, connect, connect_briefly
from contract.stores.filesystem import open_blobs
from contract.stores.interfaces import BlobStore, Stores
from contract.stores.redis_audio import RedisAudioCache
from contract.stores.redis_canary import RedisCanaryBoard
from contract.stores.redis_chunks import RedisChunkStream
from contract.stores.redis_events import RedisEvents
from contract.stores.redis_jobs import RedisJobStore
from contract.stores.redis_plans import RedisPlanBoard
from contract.stores.redis_segments import RedisSegmentStore
from contract.stores.redis_voices import RedisVoiceStore
from contract.stores.redis_webhooks import RedisWebhookStore
from contract.stores.redis_workers import RedisWorkerRegistry
from contract.stores.s3 import S3BlobStore
from contract.stores.shared_clock import SharedClock


def open_blob_store(storage: StorageSettings, *, patience_s: float = 0.0) -> BlobStore:
    """Files, or S3, as the settings say."""
    return S3BlobStore(storage.s3) if storage.backend == "s3" else open_blobs(storage, patience_s=patience_s)


def open_stores(settings: Settings, *, clock: Clock | None = None, patience_s: float = 0.0) -> Stores:
    """Redis for records and cached audio, files for blobs.

    clock: for tests; None is the Redis server's clock, as near as this host knows it (shared_clock.py).
    patience_s: how long a blob waits for room on a full disk; whoever refuses new work has none.
    """
    keys = RedisKeys(settings.redis.prefix)
    redis = connect(settings.redis)
    cache_url = settings.cache.redis_url
    cache = connect_briefly(settings.redis, url=cache_url)
    shared_clock = clock or SharedClock(connect_briefly(settings.redis))
    return Stores(
        jobs=RedisJobStore(
            redis,
            keys,
            keep_s=settings.jobs.keep_s,
            idempotency_keep_s=settings.jobs.idempotency_keep_s,
            clock=clock,
        ),
        voices=RedisVoiceStore(redis, keys, clock=shared_clock),
        blobs=open_blob_store(settings.storage, patience_s=patience_s),
        audio_cache=RedisAudioCache(cache, keys, settings.cache, clock=clock),
        events=RedisEvents(redis, keys),
        workers=RedisWorkerRegistry(redis, keys, clock=shared_clock),
        canary=RedisCanaryBoard(redis, keys),
        plans=RedisPlanBoard(redis, keys),
        now=shared_clock,
        chunks=RedisChunkStream(
            redis, connect(settings.redis, blocking=True), keys, keep_s=settings.jobs.chunks_keep_s
        ),
        segments=RedisSegmentStore(redis, keys, clock=clock),
        webhooks=RedisWebhookStore(redis, keys, clock=clock),
    )
