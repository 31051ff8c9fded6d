"""The audio cache in Redis: bytes, and a readable hash beside them.

Time to live and byte budget are kept here, in least-recently-used order (lua/audio_*.lua, cache_uses.py), whatever the
server's own policy.  Redis away is a miss; once it was away it is left alone for a moment, so that requests are
slowed by it once and not one after another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import zstandard
from redis import Redis
from redis.exceptions import RedisError

from contract.records import Fields
from contract.redis_keys import RedisKeys
from contract.schemas import AudioFormat
from contract.settings import CacheSettings
from contract.stores.cache_uses import CacheUses, Look
from contract.stores.connection import Clock, decoded, lua, translated
from contract.stores.interfaces import CachedAudio, CacheEntry, CacheStats
from contract.stores.recent_audio import Recent, RecentAudio

_SCRIPTS = ("look", "used", "put", "delete", "delete_voice", "purge", "stats")
_COMPRESSIBLE = {AudioFormat.WAV, AudioFormat.PCM}  # the others are compressed already
_ZSTD_LEVEL = 1  # of speech as small as zlib makes it, and unpacked five times as fast; higher levels gain little
_COUNTS = ("hits", "misses", "evictions", "expired")
_WORTH_IT = 7 / 8  # compressed to more than this, bytes are kept as they are: each hit would pay for next to nothing
_LEFT_ALONE_S = 2.0  # after a failure: a miss costs a synthesis, but waiting for a dead cache costs every request


class RedisAudioCache:
    """See interfaces.AudioCache.  Its own state: how often Redis was away, and until when it is left alone.

    clock: for tests; None is the clock of the Redis that holds the cache.
    """

    def __init__(
        self,
        redis: Redis,
        keys: RedisKeys,
        settings: CacheSettings,
        *,
        clock: Clock | None = None,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._scripts = {n: redis.register_script(lua("clock", "audio_prelude", f"audio_{n}")) for n in _SCRIPTS}
        self._recent = RecentAudio()
        self._lock = threading.Lock()
        self._uses = CacheUses(self._count)
        self._unavailable = 0
        self._alone_until_s = 0.0

    def get(self, fingerprint: str) -> CachedAudio | None:
        if not self._settings.enabled or self._is_left_alone():
            return None
        try:
            recent = self._recent.get(fingerprint)
            found = self._run("look", fingerprint, "" if recent is None else recent.created)
        except RedisError:
            self._was_away()
            return None
        uncounted = self._uses.note(Look(fingerprint, is_hit=bool(found)))
        if not found:
            self._recent.drop(fingerprint)
            return None
        data, about = found[0], decoded(found[1])
        if recent is None or recent.created != about["created"]:
            plain = _unpacked(data, about)
            if plain is None:
                return None
            recent = Recent(about["created"], plain)
            self._recent.keep(fingerprint, recent)
        return _from_hash(recent.data, about, uncounted=uncounted)

    def _count(self, looks: Sequence[Look]) -> None:
        flat = [part for look in looks for part in (int(look.is_hit), look.fingerprint)]
        try:
            self._run("used", "", *flat)
        except RedisError:
            self._was_away()

    def put(self, fingerprint: str, audio: CachedAudio) -> bool:
        if not self._settings.enabled or self._is_left_alone():
            return False
        data, encoding = audio.data, "identity"
        if self._settings.compression and audio.audio_format in _COMPRESSIBLE:
            smaller = zstandard.compress(audio.data, _ZSTD_LEVEL)
            if len(smaller) <= _WORTH_IT * len(audio.data):
                data, encoding = smaller, "zstd"
        about = _to_hash(audio, encoding=encoding, size_bytes=len(data))
        flat = [part for pair in about.items() for part in pair]
        limits = (self._settings.ttl_s, self._settings.max_bytes)
        self._uses.flush()
        self._recent.drop(fingerprint)
        try:
            return bool(self._run("put", fingerprint, data, *limits, audio.voice_id, *flat))
        except RedisError:
            self._was_away()
            return False

    def delete(self, fingerprint: str) -> bool:
        try:
            return bool(self._run("delete", fingerprint))
        except RedisError:
            self._was_away()
            return False

    def delete_voice(self, voice_id: str) -> int:
        with translated():
            return int(self._run("delete_voice", "", voice_id))

    def entries(self, *, limit: int = 100) -> tuple[CacheEntry, ...]:
        self._uses.flush()
        with translated():
            oldest: Any = self._redis.zrange(self._keys.audio_used(), 0, limit - 1)  # Any: as redis-py types it
            names = [name.decode() for name in oldest]
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hgetall(self._keys.audio_about(name))
                    pipe.pttl(self._keys.audio_about(name))
                found = pipe.execute()
        pairs = zip(names, found[::2], found[1::2], strict=True)
        return tuple(_entry(name, decoded(about), left_ms / 1000) for name, about, left_ms in pairs if about)

    def purge(self) -> int:
        count = 0
        with translated():
            while erased := int(self._run("purge", "")):
                count += erased
        return count

    def stats(self) -> CacheStats:
        self._uses.flush()
        try:
            entries, pairs = self._run("stats", "")
        except RedisError:
            self._was_away()
            return CacheStats(max_bytes=self._settings.max_bytes, unavailable=self._unavailable)
        counts = {name: int(value) for name, value in decoded(pairs).items()}
        return CacheStats(
            **{name: counts.get(name, 0) for name in _COUNTS},
            entries=int(entries),
            size_bytes=counts.get("bytes", 0),
            max_bytes=self._settings.max_bytes,
            unavailable=self._unavailable,
        )

    def _is_left_alone(self) -> bool:
        """Within the moment after a failure; each such miss is counted as one more."""
        with self._lock:
            alone = self._monotonic() < self._alone_until_s
            self._unavailable += alone
        return alone

    def _was_away(self) -> None:
        with self._lock:
            self._unavailable += 1
            self._alone_until_s = self._monotonic() + _LEFT_ALONE_S

    def _run(self, script: str, fingerprint: str, *arguments: str | float | bytes) -> Any:  # Any: the script's
        keys = self._keys
        marker = "*"
        start, _, ending = keys.audio_about(marker).partition(marker)
        listed = [keys.audio_used(), keys.audio_expiry(), keys.audio_sizes(), keys.audio_stats()]
        now_s = "" if self._clock is None else repr(self._clock())
        common = [fingerprint, now_s, start, ending, keys.audio_of_voice("")]
        return self._scripts[script](keys=listed, args=[*common, *arguments])


def _to_hash(audio: CachedAudio, *, encoding: str, size_bytes: int) -> Fields:
    """All but `created`, which the script stamps."""
    found = {
        "voice": audio.voice_id,
        "format": audio.audio_format.value,
        "seconds": f"{audio.duration_s:.3f}",
        "sample_rate": str(audio.sample_rate),
        "bytes": str(size_bytes),
        "audio_bytes": str(len(audio.data)),
        "encoding": encoding,
        "hits": "0",
    }
    return found if audio.seed is None else {**found, "seed": str(audio.seed)}


def _entry(fingerprint: str, about: Fields, expires_in_s: float) -> CacheEntry:
    return CacheEntry(
        fingerprint=fingerprint,
        voice_id=about.get("voice", ""),
        audio_format=about.get("format", ""),
        duration_s=float(about.get("seconds", 0)),
        size_bytes=int(about.get("bytes", 0)),
        audio_bytes=int(about.get("audio_bytes", 0)),
        hits=int(about.get("hits", 0)),
        created_at=float(about.get("created", 0)),
        expires_in_s=expires_in_s,
    )


def _unpacked(data: bytes, about: Fields) -> bytes | None:
    """None for what this version cannot read: a miss."""
    try:
        match about.get("encoding"):
            case "identity":
                return data
            case "zstd":
                return zstandard.decompress(data)
    except zstandard.ZstdError:  # someone else wrote here
        pass
    return None


def _from_hash(data: bytes, about: Fields, *, uncounted: int) -> CachedAudio:
    """uncounted: hits the hash does not know of yet."""
    return CachedAudio(
        data=data,
        voice_id=about["voice"],
        audio_format=AudioFormat(about["format"]),
        duration_s=float(about["seconds"]),
        sample_rate=int(about["sample_rate"]),
        created_at=float(about["created"]),
        hits=int(about["hits"]) + uncounted,
        seed=int(about["seed"]) if "seed" in about else None,
    )
