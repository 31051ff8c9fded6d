"""Voice records in Redis."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.records import (
    Fields,
    as_json,
    voice_fields,
    voice_from_fields,
)
from contract.redis_keys import RedisKeys
from contract.schemas import Voice, VoiceStatus
from contract.stores.connection import Clock, decoded, lua, translated
from contract.stores.interfaces import VOICE_LOST, Preparation
from contract.voice_styles import MARK


class RedisVoiceStore:
    """See interfaces.VoiceStore.  Each change is one run of lua/voices_write.lua or lua/voices_prepare.lua."""

    def __init__(self, redis: Redis, keys: RedisKeys, *, clock: Clock = time.time) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._write = redis.register_script(lua("voices_write"))
        self._prepare = redis.register_script(lua("voices_prepare"))

    def create(self, voice: Voice, *, replace: bool = False) -> Voice:
        stored = self._change(voice.id, "replace" if replace else "create", voice_fields(voice))
        if stored is None:
            raise ServiceError(ErrorCode.VOICE_EXISTS, params={"voice_id": voice.id})
        return stored

    def get(self, voice_id: str) -> Voice | None:
        with translated():
            fields = decoded(self._redis.hgetall(self._keys.voice(voice_id)))
        return voice_from_fields(fields) if "id" in fields else None

    def has(self, voice_id: str) -> bool:
        with translated():
            return bool(self._redis.exists(self._keys.voice(voice_id)))

    def list(self) -> tuple[Voice, ...]:
        return self._records(lambda _: True)

    def styles(self, voice_id: str) -> tuple[Voice, ...]:
        return self._records(lambda record_id: record_id.startswith(voice_id + MARK))

    def _records(self, wanted: Callable[[str], bool]) -> tuple[Voice, ...]:
        with translated():
            listed: Any = self._redis.zrange(self._keys.voices(), 0, -1)
            ids = [record_id for record_id in (raw.decode() for raw in listed) if wanted(record_id)]
            with self._redis.pipeline(transaction=False) as pipe:
                for record_id in ids:
                    pipe.hgetall(self._keys.voice(record_id))
                records = [decoded(record) for record in pipe.execute()]
        return tuple(voice_from_fields(record) for record in records if "id" in record)

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
        fields = {
            "status": VoiceStatus.READY.value,
            "prompt_blob": prompt_blob,
            "revision": revision,
            "quality": as_json(dict(quality or {})),
        }
        if duration_s is not None:
            fields["duration_s"] = f"{duration_s:.6f}"
        return self._change(voice_id, "change", fields, version=version) is not None

    def failed(self, voice_id: str, version: int, error: ErrorInfo) -> bool:
        fields = {
            "status": VoiceStatus.FAILED.value,
            "error_code": error.code.value,
            "error_detail": error.detail,
        }
        return self._change(voice_id, "change", fields, version=version) is not None

    def begin_preparing(
        self, voice_id: str, version: int, *, worker: str, suspects: bool = True, max_losses: int = 2
    ) -> bool:
        return bool(self._preparation("begin", voice_id, worker, os.getpid(), version, int(suspects), max_losses))

    def end_preparing(self, voice_id: str, *, worker: str) -> None:
        self._preparation("end", voice_id, worker, os.getpid())

    def preparing(self) -> tuple[Preparation, ...]:
        with translated():
            begun = decoded(self._redis.hgetall(self._keys.voices_preparing()))
        found = []
        for who, what in begun.items():
            (voice_id, worker, pid), (version, *buried) = who.split(" "), what.split(" ")
            found.append(Preparation(voice_id, int(version), worker, int(pid), is_buried=bool(buried)))
        return tuple(found)

    def bury(self, worker: str, pid: int) -> int:
        return int(self._preparation("bury", "", worker, pid))

    def lost(self, preparation: Preparation, *, max_losses: int = 2) -> Voice | None:
        of, error = preparation, VOICE_LOST
        record = decoded(
            self._preparation("lost", of.voice_id, of.worker, of.pid, max_losses, error.code.value, error.detail)
        )
        return voice_from_fields(record) if record else None

    def _preparation(  # Any: the script's own
        self, what: str, voice_id: str, worker: str, pid: int, *arguments: str | int
    ) -> Any:
        keys = [self._keys.voice(voice_id), self._keys.voices_preparing(), self._keys.events()]
        with translated():
            return self._prepare(keys=keys, args=[voice_id, f"{self._clock():.6f}", what, worker, pid, *arguments])

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
        wanted = {
            "name": name,
            "description": description,
            "language": language,
            "style": style,
            "consent": consent,
        }
        changes = {k: v for k, v in wanted.items() if v is not None}
        return self._change(voice_id, "change", changes)

    def delete(self, voice_id: str) -> Voice | None:
        return self._change(voice_id, "delete", {})

    def _change(self, voice_id: str, what: str, fields: Fields, *, version: int | None = None) -> Voice | None:
        keys = self._keys
        listed = [keys.voice(voice_id), keys.voices(), keys.voice_versions(), keys.events()]
        flat = [part for pair in fields.items() for part in pair]
        now_s = f"{self._clock():.6f}"
        held = "" if version is None else version
        with translated():
            record = decoded(self._write(keys=listed, args=[voice_id, now_s, what, held, *flat]))
        return voice_from_fields(record) if record else None
