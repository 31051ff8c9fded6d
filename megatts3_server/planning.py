"""The use case of a plan: ask a worker, wait for the answer, leave nothing behind.  HTTP is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, Priority, new_id
from contract.settings import JobSettings
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from megatts3_server.admission import admit
from megatts3_server.dispatch import Dispatch
from megatts3_server.submission import Caller, Resolved
from megatts3_server.waiting import WaitRoom
from megatts3_server.workers_view import WorkersView

log = event_log(__name__)

_KEPT_LONGER_S = 60.0  # than anybody waits: the clocks of this process and of Redis need not agree

Json = Mapping[str, Any]  # Any: what JSON holds


class Planning:
    """Plans are asked of any worker, which has the model that this process has not."""

    def __init__(
        self, settings: JobSettings, stores: Stores, *, dispatch: Dispatch, wait_room: WaitRoom, workers: WorkersView
    ) -> None:
        self._settings, self._stores = settings, stores
        self._dispatch, self._wait_room, self._workers = dispatch, wait_room, workers

    def plan(self, resolved: Resolved, caller: Caller, *, timeout_s: float) -> Json:
        """The plan of a request, as worker/planning.py wrote it.

        Raises NOT_READY and QUEUE_FULL as a job would, DEADLINE_EXCEEDED, ClientGone, and what planning failed with.
        """
        depth, workers = self._stores.jobs.depth(), self._workers.snapshot()
        admit(workers, depth, self._settings, estimate_s=0.0, priority=Priority.INTERACTIVE)
        question = _question(resolved, caller)
        try:
            self._store_reference(question, resolved)
            self._stores.plans.ask(question, ttl_s=timeout_s + _KEPT_LONGER_S)
            self._dispatch.plan(question)
            answer = self._wait_room.wait(
                question.id,
                lambda: self._stores.plans.answered(question.id),
                timeout_s=timeout_s,
                is_gone=caller.is_gone,
            )
        finally:
            self._forget(question)
        if answer is None:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)
        if answer.plan is None:
            error = answer.error
            raise ServiceError(ErrorCode.INTERNAL) if error is None else ServiceError(error.code, error.detail)
        return answer.plan

    def _store_reference(self, question: Job, resolved: Resolved) -> None:
        reference = resolved.reference
        if reference is None or question.reference_audio_blob is None:
            return
        self._stores.blobs.require_room()
        self._stores.blobs.put(question.reference_audio_blob, reference.clip)
        if question.reference_latent_blob is not None and reference.latent is not None:
            self._stores.blobs.put(question.reference_latent_blob, reference.latent)

    def _forget(self, question: Job) -> None:
        """Should it fail, the question expires, and the janitor finds the recording."""
        try:
            self._stores.plans.withdraw(question.id)
            if question.reference_audio_blob is not None:
                self._stores.blobs.delete_tree(blob_keys.job_folder(question.id))
        except ServiceError:
            log.warning("plan_not_withdrawn", plan=question.id)


def _question(resolved: Resolved, caller: Caller) -> Job:
    """Shaped as the job that would speak it, so that a worker finds voice and seed in the same way."""
    plan_id = new_id("plan")
    reference = resolved.reference
    has_latent = reference is not None and reference.latent is not None
    return Job(
        id=plan_id,
        request=resolved.request,
        reference_audio_blob=blob_keys.job_reference(plan_id) if reference else None,
        reference_latent_blob=blob_keys.job_latent(plan_id) if has_latent else None,
        request_id=caller.request_id,
        owner=caller.owner,
    )
