"""Where a job's VoicePrompt comes from: memory, the stored prompt, or the reference audio, in that order.

A prompt belongs to the weights that made it: one of another checkpoint is made again from its recording.
"""

import hashlib

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, Voice, VoiceStatus
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from contract.voice_styles import chosen
from megatts3.api import VoicePrompt
from megatts3.errors import EngineStopped
from worker.prompt_cache import PromptCache
from worker.reference_clips import Quality, prepare_clip, quality_of_clip
from worker.speech_engine import SpeechEngine
from worker.translate import to_error_info

log = event_log(__name__)


class VoicePrompts:
    """Every prompt this process uses; safe from many threads."""

    def __init__(self, stores: Stores, engine: SpeechEngine, cache: PromptCache) -> None:
        self._stores, self._engine, self._cache = stores, engine, cache

    def of_job(self, job: Job) -> VoicePrompt:
        """From the job's reference audio, else its registered voice in the style of its emotion.

        Raises ServiceError and library errors.
        """
        if job.reference_audio_blob is not None:
            return self._of_reference(job)
        found = chosen(self._stores.voices, job.request.voice_id, job.request.emotion)
        if found is None:
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, params={"voice_id": job.request.voice_id})
        if not found.is_exact:  # the API saw this style; it was erased since, and its fingerprint is another clip's
            raise ServiceError(ErrorCode.STYLE_NOT_FOUND)
        return self.of_voice(found.voice)

    def of_voice(self, voice: Voice) -> VoicePrompt:
        """A registered voice's prompt; one that is not prepared for these weights is prepared now."""
        if voice.status is VoiceStatus.FAILED and voice.error is not None:
            raise ServiceError(voice.error.code, voice.error.detail)
        key = f"{voice.id}/v{voice.version}/{self._engine.revision}"
        return self._cache.get(key, lambda: self._stored_or_prepared(voice))

    def prepare(self, voice_id: str) -> None:
        """From `preparing` to `ready` or `failed`.  A second delivery finds the voice ready and stops."""
        voice = self._stores.voices.get(voice_id)
        if voice is None or voice.status is VoiceStatus.FAILED:
            return
        try:
            self.of_voice(voice)
        except EngineStopped:  # says nothing about the voice; another worker may do it
            raise
        except Exception as error:  # the task wrapper: whatever it was, the record says so
            info = to_error_info(error)
            if info.code is ErrorCode.STORE_UNAVAILABLE:
                raise
            if info.code is ErrorCode.INTERNAL:
                log.exception("voice_failed", voice=voice_id, code=info.code)
            else:
                log.warning("voice_failed", voice=voice_id, code=info.code)
            self._stores.voices.failed(voice.id, voice.version, info)

    def _of_reference(self, job: Job) -> VoicePrompt:
        assert job.reference_audio_blob is not None
        clip = self._stores.blobs.get(job.reference_audio_blob)
        latent = None if job.reference_latent_blob is None else self._stores.blobs.get(job.reference_latent_blob)
        key = f"reference/{content_hash(clip, latent)}/{self._engine.revision}"
        return self._cache.get(key, lambda: measured(prepare_clip(self._engine, clip, latent).prompt))

    def _stored_or_prepared(self, voice: Voice) -> tuple[VoicePrompt, int]:
        if voice.prompt_blob is not None and voice.revision == self._engine.revision:
            try:
                data = self._stores.blobs.get(voice.prompt_blob)
            except KeyError:
                log.warning("prompt_missing", voice=voice.id)  # erased by hand: made again below
            else:
                return VoicePrompt.from_bytes(data), len(data)
        return self._prepare_registered(voice)

    def _prepare_registered(self, voice: Voice) -> tuple[VoicePrompt, int]:
        if voice.clip_blob is None:
            raise ServiceError(ErrorCode.VOICE_NOT_READY, params={"voice_id": voice.id})
        clip = self._stores.blobs.get(voice.clip_blob)
        latent = None if voice.latent_blob is None else self._stores.blobs.get(voice.latent_blob)
        made = prepare_clip(self._engine, clip, latent, language=voice.language)
        return self._keep(voice, made.prompt, made.quality)

    def adopt(self, voice: Voice, prompt: VoicePrompt) -> None:
        """Register a prompt that was made elsewhere for these weights, instead of preparing the voice's clip."""
        assert voice.clip_blob is not None, "a shipped voice has a clip"
        clip = self._stores.blobs.get(voice.clip_blob)
        self._keep(voice, prompt, quality_of_clip(clip, prompt, language=voice.language))

    def _keep(self, voice: Voice, prompt: VoicePrompt, quality: Quality) -> tuple[VoicePrompt, int]:
        data = prompt.to_bytes()
        blob = blob_keys.voice_prompt(voice.id, voice.version)
        self._stores.blobs.put(blob, data)
        duration_s = quality["duration_s"]
        assert isinstance(duration_s, float)
        kept = self._stores.voices.prepared(
            voice.id,
            voice.version,
            prompt_blob=blob,
            revision=self._engine.revision,
            duration_s=duration_s,
            quality=quality,
        )
        if not kept:  # deleted or replaced meanwhile: nothing of it may stay
            self._stores.blobs.delete(blob)
        log.info("voice_prepared", voice=voice.id, version=voice.version, kept=kept)
        return prompt, len(data)


def measured(prompt: VoicePrompt) -> tuple[VoicePrompt, int]:
    """A prompt and the bytes it is counted as."""
    return prompt, len(prompt.to_bytes())


def content_hash(clip: bytes, latent: bytes | None) -> str:
    """Of the bytes themselves: the same recording under any name is the same voice."""
    found = hashlib.sha256(clip)
    found.update(b"\0latent\0" + latent if latent is not None else b"")
    return found.hexdigest()
