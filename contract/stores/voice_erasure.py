"""Erasing a voice, or one of its recordings, with everything that was made from it; and the receipt."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from contract import blob_keys
from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import Job, Voice
from contract.stores.interfaces import Stores
from contract.stores.job_erasure import erase_job
from contract.telemetry import event_log
from contract.voice_styles import normal_style, style_id

log = event_log(__name__)

_PAGE = 200  # job records read at a time


@dataclass(frozen=True)
class Erased:
    """The receipt.

    files:          clips, latents, prompts, finished audio, whole and in segments
    jobs:           ended jobs erased with their audio;  jobs_cancelled: those that were still under way
    styles:         labels of the recordings that went
    """

    voice: Voice
    files: int
    cached_audio: int
    jobs: int
    jobs_cancelled: int
    styles: tuple[str, ...]
    erased_at: float  # Unix seconds


class VoiceErasure:
    def __init__(self, stores: Stores, *, clock: Callable[[], float] = time.time) -> None:
        self._stores, self._clock = stores, clock

    def erase(self, voice: Voice) -> Erased:
        """The voice with all its recordings.  Raises VOICE_NOT_FOUND when somebody else was faster."""
        if self._stores.voices.delete(voice.id) is None:  # first: nothing new is made with it from now on
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, params={"voice_id": voice.id})
        further = self._stores.voices.styles(voice.id)
        for each in further:
            self._stores.voices.delete(each.id)
        jobs, cancelled, files = self._erase_jobs(lambda job: voice.id in job.voice_ids)
        files += self._stores.blobs.delete_tree(blob_keys.voice_folder(voice.id))
        styles = (voice.style, *(each.style for each in further))
        return self._receipt(voice, files=files, jobs=jobs, cancelled=cancelled, styles=styles)

    def erase_style(self, voice: Voice, style: str) -> Erased:
        """One further recording.  The first cannot go alone: it is the voice."""
        style = normal_style(style)
        if style == normal_style(voice.style):
            if not self._stores.voices.styles(voice.id):
                return self.erase(voice)
            raise ServiceError(ErrorCode.CONFLICT, "This is the voice's first recording; replace it, or delete all.")
        gone = self._stores.voices.delete(style_id(voice.id, style))
        if gone is None:
            limit = ", ".join(each.style for each in self._stores.voices.styles(voice.id))
            error = field_error("style", FieldProblem.NOT_A_CHOICE, limit)
            raise ServiceError(ErrorCode.STYLE_NOT_FOUND, errors=(error,))
        jobs, cancelled, files = self._erase_jobs(
            lambda job: job.request.voice_id == voice.id and normal_style(job.request.emotion) == style
        )
        files += self.erase_recording(gone)
        return self._receipt(voice, files=files, jobs=jobs, cancelled=cancelled, styles=(gone.style,))

    def erase_recording(self, voice: Voice) -> int:
        """One record's own files."""
        blobs = (voice.clip_blob, voice.latent_blob, voice.prompt_blob)
        return sum(self._stores.blobs.delete(blob) for blob in blobs if blob is not None)

    def erase_audio(self, voice_id: str) -> tuple[int, int]:
        """Cached answers, and kept segments with their files: everything spoken with a voice but its jobs' results."""
        cached = self._stores.audio_cache.delete_voice(voice_id)
        segments = self._stores.segments.delete_voice(voice_id)
        return cached, sum(self._stores.blobs.delete(blob) for blob in segments)

    def _receipt(self, voice: Voice, *, files: int, jobs: int, cancelled: int, styles: tuple[str, ...]) -> Erased:
        cached, kept = self.erase_audio(voice.id)  # of all styles: it can be made again
        files += kept
        log.info("voice_deleted", voice=voice.id, files=files, cached=cached, jobs=jobs, styles=len(styles))
        return Erased(voice, files, cached, jobs, cancelled, styles, erased_at=self._clock())

    def _erase_jobs(self, is_made_from_it: Callable[[Job], bool]) -> tuple[int, int, int]:
        """Jobs erased, jobs cancelled, files erased."""
        erased = cancelled = files = 0
        for job in self._all_jobs():
            if not is_made_from_it(job):
                continue
            gone = erase_job(self._stores.jobs, self._stores.blobs, job.id)
            if gone is None:
                self._stores.jobs.request_cancel(job.id)
                cancelled += 1
                gone = erase_job(self._stores.jobs, self._stores.blobs, job.id)
                if gone is None:  # it runs: the worker sees the flag, and finds no voice
                    continue
            files += gone[1]
            erased += 1
        return erased, cancelled, files

    def _all_jobs(self) -> Iterator[Job]:
        cursor: str | None = None
        while True:
            page = self._stores.jobs.list(cursor=cursor, limit=_PAGE)
            yield from page.jobs
            cursor = page.cursor
            if cursor is None:
                return
