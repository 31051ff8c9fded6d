"""The use cases of voices: register and wait until it is prepared; delete with everything made from it."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.fingerprint import voice_fingerprint
from contract.schemas import VOICE_ID, Job, Voice, VoiceStatus, VoiceType, new_id
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from contract.wire_voices import VoiceUpload
from megatts3_server.admission import require_ready
from megatts3_server.dispatch import Dispatch
from megatts3_server.submission import Caller
from megatts3_server.uploads import Reference
from megatts3_server.waiting import WaitRoom
from megatts3_server.workers_view import WorkersView

log = event_log(__name__)

_PAGE = 200  # job records read at a time when a voice's audio is erased


@dataclass(frozen=True)
class Erased:
    """The receipt of a deletion."""

    voice: Voice
    files: int
    cached_audio: int
    jobs: int


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

    def get(self, voice_id: str) -> Voice:
        voice = self._stores.voices.get(voice_id) if VOICE_ID.fullmatch(voice_id) else None
        if voice is None:
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, params={"voice_id": voice_id})
        return voice

    def register(self, upload: VoiceUpload, reference: Reference, caller: Caller, *, timeout_s: float) -> Voice:
        """Store, have it prepared, wait.  Raises what is wrong with the clip; all is then as it was before.

        Also raises VOICE_EXISTS, FORBIDDEN (a shipped voice), NOT_READY, DEADLINE_EXCEEDED and ClientGone.
        """
        before = self._replaceable(upload)
        require_ready(self._workers.snapshot())
        stored = self._store(upload, reference, caller)
        try:
            self._dispatch.prepare_voice(stored)
        except ServiceError:
            self._put_back(stored, before)
            raise

        def look() -> Voice | None:
            voice = self._stores.voices.get(stored.id)
            if voice is None or voice.version != stored.version:
                raise ServiceError(ErrorCode.CONFLICT, "The voice was changed by somebody else meanwhile.")
            return voice if voice.status is not VoiceStatus.PREPARING else None

        voice = self._wait_room.wait(stored.id, look, timeout_s=timeout_s, is_gone=caller.is_gone)
        if voice is None:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)
        if voice.status is VoiceStatus.FAILED:
            self._put_back(voice, before)
            error = voice.error
            raise ServiceError(error.code, error.detail) if error else ServiceError(ErrorCode.INTERNAL)
        if before is not None:
            self._erase_blobs(before)
            self._stores.audio_cache.delete_voice(voice.id)
        log.info("voice_registered", voice=voice.id, version=voice.version)
        return voice

    def delete(self, voice_id: str) -> Erased:
        """Erase clip, latent, prompt, and all audio made with the voice, cached or stored."""
        if self.get(voice_id).type is not VoiceType.CUSTOM:
            raise ServiceError(ErrorCode.FORBIDDEN, "A voice that ships with the model cannot be deleted.")
        voice = self._stores.voices.delete(voice_id)
        if voice is None:
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, params={"voice_id": voice_id})
        files = self._stores.blobs.delete_tree(blob_keys.voice_folder(voice.id))
        cached = self._stores.audio_cache.delete_voice(voice.id)
        jobs = 0
        for job in self._jobs_of(voice.id):
            ended = self._stores.jobs.delete(job.id)
            if ended is None:
                self._stores.jobs.request_cancel(job.id)
            else:
                files += self._stores.blobs.delete_tree(blob_keys.job_folder(job.id))
                jobs += 1
        log.info("voice_deleted", voice=voice.id, files=files, cached=cached, jobs=jobs)
        return Erased(voice, files=files, cached_audio=cached, jobs=jobs)

    def _replaceable(self, upload: VoiceUpload) -> Voice | None:
        """The good voice this upload replaces.  One whose recording was refused is as good as none."""
        known = self._stores.voices.get(upload.voice_id)
        if known is None or known.status is VoiceStatus.FAILED:
            return None
        if not upload.replace:
            raise ServiceError(ErrorCode.VOICE_EXISTS, params={"voice_id": upload.voice_id})
        if known.type is not VoiceType.CUSTOM:
            raise ServiceError(ErrorCode.FORBIDDEN, "A voice that ships with the model cannot be replaced.")
        return known

    def _store(self, upload: VoiceUpload, reference: Reference, caller: Caller) -> Voice:
        recording = new_id("rec")
        clip_blob = blob_keys.voice_clip(upload.voice_id, recording)
        latent_blob = blob_keys.voice_latent(upload.voice_id, recording) if reference.latent else None
        voice = Voice(
            id=upload.voice_id,
            name=upload.name,
            description=upload.description,
            language=upload.language,
            style=upload.style,
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
            self._erase_blobs(voice)
            raise

    def _put_back(self, refused: Voice, before: Voice | None) -> None:
        """A refused recording leaves no trace, and a voice it was to replace goes on as it was."""
        try:
            if before is None:
                self._stores.voices.delete(refused.id)
            else:
                self._stores.voices.create(dataclasses.replace(before), replace=True)
            self._erase_blobs(refused)
        except ServiceError:
            log.warning("voice_not_put_back", voice=refused.id)

    def _erase_blobs(self, voice: Voice) -> None:
        for blob in (voice.clip_blob, voice.latent_blob, voice.prompt_blob):
            if blob is not None:
                self._stores.blobs.delete(blob)

    def _jobs_of(self, voice_id: str) -> Iterator[Job]:
        cursor: str | None = None
        while True:
            page = self._stores.jobs.list(cursor=cursor, limit=_PAGE)
            yield from (job for job in page.jobs if job.request.voice_id == voice_id)
            cursor = page.cursor
            if cursor is None:
                return
