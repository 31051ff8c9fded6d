"""The use cases of voices: register and wait until it is prepared, look, choose, change.

Not here: erasing (voice_erasure.py) and what is wrong with a recording (the worker looks).
"""

import dataclasses
from collections.abc import Mapping

from contract import blob_keys
from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.fingerprint import voice_fingerprint
from contract.messages import field_error
from contract.schemas import VOICE_ID, Voice, VoiceStatus, VoiceType, new_id
from contract.stores.interfaces import Stores
from contract.stores.voice_erasure import Erased, VoiceErasure
from contract.telemetry import event_log
from contract.voice_styles import normal_style, style_id
from contract.wire_voices import VoiceChanges, VoiceUpload
from megatts3_server.admission import require_ready
from megatts3_server.dispatch import Dispatch
from megatts3_server.submission import Caller
from megatts3_server.uploads import Reference
from megatts3_server.waiting import WaitRoom
from megatts3_server.workers_view import WorkersView

log = event_log(__name__)

_NOT_YOURS: Mapping[VoiceType, str] = {
    VoiceType.BUILTIN: "This voice ships with the model: it can be neither changed nor deleted.",
    VoiceType.PROFILE: "This voice comes from the read-only folder: change or delete its files there.",
}


class VoiceRegistration:
    def __init__(
        self,
        stores: Stores,
        *,
        dispatch: Dispatch,
        wait_room: WaitRoom,
        workers: WorkersView,
    ) -> None:
        self._stores, self._dispatch = stores, dispatch
        self._wait_room, self._workers = wait_room, workers
        self._erasure = VoiceErasure(stores)

    def get(self, voice_id: str) -> Voice:
        voice = self._stores.voices.get(voice_id) if VOICE_ID.fullmatch(voice_id) else None
        if voice is None:
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, params={"voice_id": voice_id})
        return voice

    def has(self, voice_id: str) -> bool:
        return self._stores.voices.get(voice_id) is not None

    def styles(self, voice: Voice) -> tuple[Voice, ...]:
        """The voice's further recordings."""
        return self._stores.voices.styles(voice.id)

    def recording(self, voice_id: str, style: str | None) -> Voice:
        """One recording of a voice, by its style; None is the first.  Raises VOICE_NOT_FOUND, NOT_FOUND."""
        voice = self.get(voice_id)
        if style is None or normal_style(style) == normal_style(voice.style):
            return voice
        found = self._stores.voices.get(style_id(voice.id, style))
        if found is None:
            raise ServiceError(ErrorCode.NOT_FOUND)
        return found

    def list(self) -> tuple[tuple[Voice, tuple[Voice, ...]], ...]:
        """Each voice with its further recordings, oldest first."""
        records = self._stores.voices.list()
        further: dict[str, tuple[Voice, ...]] = {}
        for record in records:
            if record.style_of is not None:
                further[record.style_of] = (*further.get(record.style_of, ()), record)
        return tuple((record, further.get(record.id, ())) for record in records if record.style_of is None)

    def register(self, upload: VoiceUpload, reference: Reference, caller: Caller, *, timeout_s: float) -> Voice:
        """Store, have it prepared, wait; the record of the recording: the voice's, or that of a further style.

        Raises what is wrong with the clip; all is then as it was before.  Also raises VOICE_EXISTS, FORBIDDEN (not
        an uploaded voice), NOT_READY, DEADLINE_EXCEEDED and ClientGone.
        """
        record_id, before = self._place(upload)
        require_ready(self._workers.snapshot())
        self._stores.blobs.require_room()
        stored = self._store(record_id, upload, reference, caller)
        try:
            self._dispatch.prepare_voice(stored)
        except ServiceError:
            self._put_back(stored, before)
            raise
        voice = self._wait_room.wait(stored.id, lambda: self._look(stored), timeout_s=timeout_s, is_gone=caller.is_gone)
        if voice is None:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)
        if voice.status is VoiceStatus.FAILED:
            self._put_back(voice, before)
            error = voice.error
            raise ServiceError(error.code, error.detail) if error else ServiceError(ErrorCode.INTERNAL)
        if before is not None:
            self._erasure.erase_recording(before)
            self._erasure.erase_audio(upload.voice_id)
        log.info("voice_registered", voice=voice.id, version=voice.version)
        return voice

    def change(self, voice_id: str, changes: VoiceChanges) -> Voice:
        """Raises VOICE_NOT_FOUND, FORBIDDEN, CONFLICT (another recording has this style)."""
        voice = self._own(voice_id)
        if changes.style is not None and changes.style != normal_style(voice.style):
            if any(normal_style(each.style) == changes.style for each in self.styles(voice)):
                error = field_error("style", FieldProblem.CONFLICT, "another recording of this voice")
                raise ServiceError(ErrorCode.CONFLICT, errors=(error,))
            self._erasure.erase_audio(voice.id)  # what was asked as one emotion is another now
        changed = self._stores.voices.update(voice.id, **dataclasses.asdict(changes))
        if changed is None:
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, params={"voice_id": voice_id})
        log.info("voice_changed", voice=voice.id)
        return changed

    def delete(self, voice_id: str, *, style: str | None = None) -> Erased:
        """Erase a voice, or one of its styles, with all audio made from it.  Raises as `change`."""
        voice = self._own(voice_id)
        return self._erasure.erase(voice) if style is None else self._erasure.erase_style(voice, style)

    def _own(self, voice_id: str) -> Voice:
        voice = self.get(voice_id)
        if voice.type is not VoiceType.CUSTOM:
            raise ServiceError(ErrorCode.FORBIDDEN, _NOT_YOURS[voice.type])
        return voice

    def _look(self, stored: Voice) -> Voice | None:
        """The record once its preparation ended."""
        voice = self._stores.voices.get(stored.id)
        if voice is None or voice.version != stored.version:
            raise ServiceError(ErrorCode.CONFLICT, "The voice was changed by somebody else meanwhile.")
        if voice.style_of is not None and self._stores.voices.get(voice.style_of) is None:
            self._put_back(voice, None)
            raise ServiceError(ErrorCode.CONFLICT, "The voice was deleted by somebody else meanwhile.")
        return voice if voice.status is not VoiceStatus.PREPARING else None

    def _place(self, upload: VoiceUpload) -> tuple[str, Voice | None]:
        """Id of the record this upload writes, and the good one it replaces.

        A recording that was refused is as good as none.
        """
        first = self._stores.voices.get(upload.voice_id)
        if first is None or (first.status is VoiceStatus.FAILED and not self.styles(first)):
            return upload.voice_id, None
        if first.type is not VoiceType.CUSTOM:
            code = ErrorCode.FORBIDDEN if upload.replace else ErrorCode.VOICE_EXISTS
            detail = _NOT_YOURS[first.type] if upload.replace else None
            raise ServiceError(code, detail, params={"voice_id": upload.voice_id})
        is_first = normal_style(first.style) == upload.style
        record_id = first.id if is_first else style_id(first.id, upload.style)
        known = self._stores.voices.get(record_id)
        if known is None or known.status is VoiceStatus.FAILED:
            return record_id, None
        if not upload.replace:
            raise ServiceError(ErrorCode.VOICE_EXISTS, params={"voice_id": upload.voice_id})
        return record_id, known

    def _store(self, record_id: str, upload: VoiceUpload, reference: Reference, caller: Caller) -> Voice:
        recording = new_id("rec")
        clip_blob = blob_keys.voice_clip(record_id, recording)
        latent_blob = blob_keys.voice_latent(record_id, recording) if reference.latent else None
        voice = Voice(
            id=record_id,
            name=upload.name,
            description=upload.description,
            language=upload.language,
            style=upload.style,
            style_of=None if record_id == upload.voice_id else upload.voice_id,
            consent=upload.consent,
            clip_blob=clip_blob,
            latent_blob=latent_blob,
            fingerprint=voice_fingerprint(reference.clip, reference.latent),
            request_id=caller.request_id,
            owner=caller.owner,
        )
        try:
            self._stores.blobs.put(clip_blob, reference.clip)
            if latent_blob is not None and reference.latent is not None:
                self._stores.blobs.put(latent_blob, reference.latent)
            known = self._stores.voices.get(voice.id)
            is_refused = known is not None and known.status is VoiceStatus.FAILED
            return self._stores.voices.create(voice, replace=upload.replace or is_refused)
        except ServiceError:
            self._erasure.erase_recording(voice)
            raise

    def _put_back(self, refused: Voice, before: Voice | None) -> None:
        """A refused recording leaves no trace, and a voice it was to replace goes on as it was."""
        try:
            if before is None:
                self._stores.voices.delete(refused.id)
            else:
                self._stores.voices.create(dataclasses.replace(before), replace=True)
            self._erasure.erase_recording(refused)
        except ServiceError:
            log.warning("voice_not_put_back", voice=refused.id)
