"""What a text would be spoken as, for somebody who waits: read and timed, nothing rendered.

The engine plans between two solver steps, by the same rules and seed as a job, so the seconds said here are those that
the job is planned with.
"""

from __future__ import annotations

from typing import Any

from contract.errors import ErrorCode
from contract.schemas import Job
from contract.stores.plans import PlanAnswer, PlanBoard
from contract.telemetry import event_log
from megatts3.api import PlannedSegment
from megatts3.text.normalize import normalize
from megatts3.text.phones import inventory, tone_names
from worker.speech_engine import SpeechEngine
from worker.translate import seed_of, to_error_info, to_sampling_params
from worker.voices import VoicePrompts

log = event_log(__name__)

Json = dict[str, Any]  # Any: what JSON holds


class Planner:
    """Answers what hangs on the board; safe from many threads."""

    def __init__(self, plans: PlanBoard, engine: SpeechEngine, prompts: VoicePrompts) -> None:
        self._plans, self._engine, self._prompts = plans, engine, prompts

    def plan(self, plan_id: str) -> None:
        """Answer one question with a plan or an error.  One that was withdrawn is left alone."""
        job = self._plans.asked(plan_id)
        if job is None:
            log.info("plan_not_wanted", plan=plan_id)
            return
        try:
            answer = PlanAnswer(plan=self._answer(job))
        except Exception as error:  # the task wrapper: whoever waits must hear of it
            if self._plans.asked(plan_id) is None:  # withdrawn meanwhile, and with it the recording we read
                log.info("plan_not_wanted", plan=plan_id)
                return
            info = to_error_info(error)
            if info.code is ErrorCode.INTERNAL:
                log.exception("plan_failed", plan=plan_id, code=info.code)
            else:
                log.info("plan_failed", plan=plan_id, code=info.code)
            answer = PlanAnswer(error=info)
        self._plans.answer(plan_id, answer)

    def _answer(self, job: Job) -> Json:
        voice = self._prompts.of_job(job)
        params = to_sampling_params(job.request, seed=seed_of(job, voice))
        found = self._engine.plan(job.request.text, voice, params)
        normalized = normalize(job.request.text)
        return {
            "normalized_text": normalized.text,
            "language": normalized.language,
            "segments": [_segment(segment) for segment in found.segments],
            "predicted_s": round(found.predicted_s, 3),
        }


def _segment(segment: PlannedSegment) -> Json:
    return {
        "index": segment.index,
        "text": segment.text,
        "phones": list(inventory().decode(segment.phones)),
        "phone_ids": list(segment.phones),
        "tones": [tone_names()[tone] for tone in segment.tones],
        "tone_ids": list(segment.tones),
        "predicted_s": round(segment.duration_s, 3),
    }
