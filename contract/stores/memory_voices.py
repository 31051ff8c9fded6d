"""The in-memory twin of the voice store."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import Voice, VoiceStatus
from contract.stores.interfaces import VOICE_LOST, Event, EventKind, Events, Preparation


class MemoryVoiceStore:
    """See interfaces.VoiceStore."""

    def __init__(self, events: Events, *, clock: Callable[[], float]) -> None:
        self._events = events
        self._clock = clock
        self._lock = threading.RLock()
        self._voices: dict[str, Voice] = {}
        self._versions: dict[str, int] = {}
        self._preparing: dict[tuple[str, str, int], Preparation] = {}  # by voice, worker, process

    def create(self, voice: Voice, *, replace: bool = False) -> Voice:
        with self._lock:
            if voice.id in self._voices and not replace:
                raise ServiceError(ErrorCode.VOICE_EXISTS, params={"voice_id": voice.id})
            version = self._versions.get(voice.id, 0) + 1
            self._versions[voice.id] = version
            now_s = self._clock()
            known = self._voices.get(voice.id)
            created_at = known.created_at if known else now_s
            return self._write(_with(voice, version=version, created_at=created_at))

    def get(self, voice_id: str) -> Voice | None:
        with self._lock:
            return self._voices.get(voice_id)

    def has(self, voice_id: str) -> bool:
        with self._lock:
            return voice_id in self._voices

    def list(self) -> tuple[Voice, ...]:
        with self._lock:
            return tuple(sorted(self._voices.values(), key=lambda v: (v.created_at, v.id)))

    def styles(self, voice_id: str) -> tuple[Voice, ...]:
        return tuple(voice for voice in self.list() if voice.style_of == voice_id)

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
        with self._lock:
            voice = self._voices.get(voice_id)
            if voice is None or voice.version != version:
                return False
            self._write(
                _with(
                    voice,
                    status=VoiceStatus.READY,
                    prompt_blob=prompt_blob,
                    revision=revision,
                    duration_s=voice.duration_s if duration_s is None else duration_s,
                    quality=dict(quality or {}),
                    error=None,
                    losses=0,
                )
            )
            return True

    def failed(self, voice_id: str, version: int, error: ErrorInfo) -> bool:
        with self._lock:
            voice = self._voices.get(voice_id)
            if voice is None or voice.version != version:
                return False
            self._write(_with(voice, status=VoiceStatus.FAILED, error=error, losses=0))
            return True

    def begin_preparing(
        self, voice_id: str, version: int, *, worker: str, suspects: bool = True, max_losses: int = 2
    ) -> bool:
        with self._lock:
            voice = self._in_preparation(voice_id, version)
            if voice is None or (voice.losses and not suspects):
                return False
            mine = (voice_id, worker, os.getpid())
            others = sum(key[0] == voice_id and key != mine for key in self._preparing)
            if voice.losses + others >= max_losses:  # each of them may turn out to be lost
                return False
            self._preparing[mine] = Preparation(voice_id, version, worker, os.getpid())
            return True

    def end_preparing(self, voice_id: str, *, worker: str) -> None:
        with self._lock:
            self._preparing.pop((voice_id, worker, os.getpid()), None)

    def preparing(self) -> tuple[Preparation, ...]:
        with self._lock:
            return tuple(self._preparing.values())

    def bury(self, worker: str, pid: int) -> int:
        with self._lock:
            theirs = [key for key, each in self._preparing.items() if (each.worker, each.pid) == (worker, pid)]
            self._preparing |= {key: replace(self._preparing[key], is_buried=True) for key in theirs}
            return len(theirs)

    def lost(self, preparation: Preparation, *, max_losses: int = 2) -> Voice | None:
        of = preparation
        with self._lock:
            begun = self._preparing.pop((of.voice_id, of.worker, of.pid), None)
            voice = None if begun is None else self._in_preparation(begun.voice_id, begun.version)
            if voice is None:
                return None
            voice = self._voices[voice.id] = replace(voice, losses=voice.losses + 1)
            if voice.losses < max_losses:
                return voice
            return self._write(_with(voice, status=VoiceStatus.FAILED, error=VOICE_LOST))

    def _in_preparation(self, voice_id: str, version: int) -> Voice | None:
        voice = self._voices.get(voice_id)
        is_wanted = voice is not None and voice.version == version and voice.status is VoiceStatus.PREPARING
        return voice if is_wanted else None

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
        with self._lock:
            voice = self._voices.get(voice_id)
            if voice is None:
                return None
            return self._write(_with(voice, **{k: v for k, v in wanted.items() if v is not None}))

    def delete(self, voice_id: str) -> Voice | None:
        with self._lock:
            voice = self._voices.pop(voice_id, None)
        if voice is not None:
            self._events.publish(Event(EventKind.VOICE, voice_id, "deleted"))
        return voice

    def _write(self, voice: Voice) -> Voice:
        voice = replace(voice, updated_at=self._clock())
        self._voices[voice.id] = voice
        self._events.publish(Event(EventKind.VOICE, voice.id, voice.status))
        return voice


def _with(voice: Voice, **changes: object) -> Voice:
    return replace(voice, **changes)  # type: ignore[arg-type] # names and types as in Voice, from this file
