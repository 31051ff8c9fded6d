"""Bring back what a dead worker or a lost message left.  Every worker does it; the store lets one win."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Job, JobStatus, VoiceStatus
from contract.stores.interfaces import BlobStore, VoiceStore, WorkerRegistry
from contract.stores.job_erasure import erase_job
from contract.stores.jobs import JobStore
from contract.telemetry import event_log

log = event_log(__name__)


@dataclass(frozen=True)
class Swept:
    """What one sweep did: jobs put back, given up, and sent a second time."""

    requeued: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    sent_again: tuple[str, ...] = ()


def sweep(
    jobs: JobStore,
    send: Callable[[Job], None],
    *,
    max_attempts: int,
    resend_after_s: float,
    buried_only: bool = False,
) -> Swept:
    """Requeue jobs whose lease ran out, fail those that took down `max_attempts` workers, resend the rest.

    Whoever let a lease run out may have taken messages, too.  buried_only: see bring_back.
    """
    if not buried_only and set(jobs.expired()) - set(jobs.expired(buried_only=True)):
        jobs.doubt_messages()
    swept = bring_back(jobs, send, max_attempts=max_attempts, buried_only=buried_only)
    sent_again = jobs.resend_due(older_than_s=resend_after_s)
    for job in sent_again:
        send(job)
        log.warning("job_sent_again", job=job.id)
    return Swept(swept.requeued, swept.given_up, tuple(job.id for job in sent_again))


def bring_back(jobs: JobStore, send: Callable[[Job], None], *, max_attempts: int, buried_only: bool = False) -> Swept:
    """The first part of a sweep; buried_only: for leases of processes that are known to have ended."""
    requeued: list[str] = []
    given_up: list[str] = []
    for job_id in jobs.expired(buried_only=buried_only):
        job = jobs.requeue(job_id, max_attempts=max_attempts)
        if job is None:  # another sweeper was first
            continue
        if job.status is JobStatus.QUEUED:
            send(job)
            requeued.append(job.id)
            log.warning("job_requeued", job=job.id, attempts=job.attempts)
        else:
            given_up.append(job.id)
            log.error("job_given_up", job=job.id, attempts=job.attempts)
    return Swept(tuple(requeued), tuple(given_up))


def forget_outdated(jobs: JobStore, blobs: BlobStore) -> tuple[str, ...]:
    """Erase jobs that ended longer ago than they are kept; files whose erasing a crash cut off are the janitor's."""
    outdated = jobs.outdated()
    for job_id in outdated:
        erase_job(jobs, blobs, job_id)
    if outdated:
        log.info("jobs_forgotten", count=len(outdated))
    return outdated


VOICE_GIVEN_UP = ErrorInfo(ErrorCode.WORKER_LOST, "the voice could not be prepared: the worker was lost")


class VoiceSweep:
    """Voices whose worker was lost: sent again at once, and given up when it was the second.

    Those that stay `preparing` though nobody is known to be lost are sent again, too, each time after twice as long,
    and given up in the end; a worker that begins does not send what others have sent.
    """

    def __init__(
        self,
        voices: VoiceStore,
        workers: WorkerRegistry,
        *,
        myself: str,
        max_attempts: int,
        send: Callable[[str], None],
        resend_after_s: float,
        give_up_after_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._voices, self._send, self._clock = voices, send, clock
        self._workers, self._myself, self._max_attempts = workers, myself, max_attempts
        self._resend_after_s, self._give_up_after_s = resend_after_s, give_up_after_s
        self._looked_at = clock()

    def sweep(self) -> None:
        self.bring_back()
        before, self._looked_at = self._looked_at, self._clock()
        for voice in self._voices.list():
            if voice.status is not VoiceStatus.PREPARING:
                continue
            age_s = self._looked_at - voice.updated_at
            if age_s > self._give_up_after_s:
                self._voices.failed(voice.id, voice.version, VOICE_GIVEN_UP)
                log.error("voice_given_up", voice=voice.id)
            elif self._times_due(age_s) > self._times_due(before - voice.updated_at):
                self._send(voice.id)
                log.warning("voice_sent_again", voice=voice.id)

    def bring_back(self, *, buried_only: bool = False) -> None:
        """The first part of a sweep.  A process is lost that is known to have ended or, unless buried_only, that has
        not been heard of for `jobs.worker_ttl_s`.
        """
        begun = [each for each in self._voices.preparing() if each.is_buried or not buried_only]
        if not begun:
            return
        alive = {(worker.name, worker.pid) for worker in self._workers.list()} | {(self._myself, os.getpid())}
        for each in begun:
            if not each.is_buried and (each.worker, each.pid) in alive:
                continue
            voice = self._voices.lost(each, max_losses=self._max_attempts)
            if voice is None:  # another sweeper was first, or it is over
                continue
            if voice.status is VoiceStatus.PREPARING:
                self._send(voice.id)
                log.warning("voice_requeued", voice=voice.id, losses=voice.losses)
            else:
                log.error("voice_given_up", voice=voice.id, losses=voice.losses)

    def _times_due(self, age_s: float) -> int:
        """How often a voice of this age should have been sent again."""
        return 0 if age_s <= self._resend_after_s else 1 + int(math.log2(age_s / self._resend_after_s))
