"""The in-memory twin of the voice store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import Voice, VoiceStatus
from contract.stores.interfaces import Event, EventKind, Events


class MemoryVoiceStore:
    """See interfaces.VoiceStore."""

    def __init__(self, events: Events, *, clock: Callable[[], float]) -> None:
        self._events = events
        self._clock = clock
        self._lock = threading.RLock()
        self._voices: dict[str, Voice] = {}
        self._versions: dict[str, int] = {}

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
                )
            )
            return True

    def failed(self, voice_id: str, version: int, error: ErrorInfo) -> bool:
        with self._lock:
            voice = self._voices.get(voice_id)
            if voice is None or voice.version != version:
                return False
            self._write(_with(voice, status=VoiceStatus.FAILED, error=error))
            return True

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
