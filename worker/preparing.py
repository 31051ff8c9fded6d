"""A voice is prepared in such a way that one which takes workers down is found out.

The store knows which process prepares which voice.  One that a worker was lost with before is a suspect and is prepared
alone (company.py), so that a second loss convicts it and nobody else.
"""

from contract.errors import ServiceError
from contract.schemas import Voice, VoiceStatus
from contract.stores.interfaces import VoiceStore
from contract.telemetry import event_log
from worker.company import Company
from worker.voices import VoicePrompts

log = event_log(__name__)


class Preparer:
    """Safe from many threads."""

    def __init__(
        self, voices: VoiceStore, prompts: VoicePrompts, company: Company, *, worker: str, max_attempts: int
    ) -> None:
        self._voices, self._prompts, self._company = voices, prompts, company
        self._worker, self._max_attempts = worker, max_attempts

    def prepare(self, voice_id: str) -> None:
        """From `preparing` to `ready` or `failed`, or nothing where others are at it.

        A second delivery finds the voice ready and stops.
        """
        voice = self._voices.get(voice_id)
        if voice is None:
            return
        with self._company.beside():
            if voice.status is not VoiceStatus.PREPARING:
                self._prompts.prepare(voice_id)
                return
            if self._prepared(voice, suspects=False):
                return
        if self._is_suspect(voice):
            with self._company.alone():
                if self._prepared(voice, suspects=True):
                    return
        log.info("voice_not_to_be_had", voice=voice_id)  # it is over, or a sweep sends it again

    def _prepared(self, voice: Voice, *, suspects: bool) -> bool:
        """Whether it was for us to do."""
        begun = self._voices.begin_preparing(
            voice.id, voice.version, worker=self._worker, suspects=suspects, max_losses=self._max_attempts
        )
        if not begun:
            return False
        try:
            self._prompts.prepare(voice.id)
        finally:
            self._end(voice.id)
        return True

    def _end(self, voice_id: str) -> None:
        try:
            self._voices.end_preparing(voice_id, worker=self._worker)
        except ServiceError as error:  # counted only should this process be lost before the voice is ready
            log.warning("preparation_not_ended", voice=voice_id, code=error.code)

    def _is_suspect(self, voice: Voice) -> bool:
        now = self._voices.get(voice.id)
        return now is not None and now.losses > 0
