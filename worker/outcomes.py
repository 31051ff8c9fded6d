"""How a claimed job ends: finish, fail, cancelled or release, exactly one of them, or nothing at all.

Nothing at all is left to the lease: it runs out, and a sweep decides.
"""

import time
from collections.abc import Callable

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, JobResult
from contract.stores.jobs import JobStore
from contract.telemetry import event_log
from megatts3.errors import Cancelled, EngineStopped
from worker.figures import Figures
from worker.leases import Lease
from worker.translate import to_error_info

log = event_log(__name__)

WRITE_TRIES = 5
WRITE_PAUSE_S = 1.0  # between tries to record an outcome while the store is away; in all well below a lease
OURS = frozenset({ErrorCode.INTERNAL, ErrorCode.SYNTHESIS_FAILED})  # told with a traceback


class Outcomes:
    """Writes the end of a job into its record."""

    def __init__(
        self,
        jobs: JobStore,
        figures: Figures,
        *,
        send_again: Callable[[Job], None],
        ended: Callable[[str], None] = lambda _: None,
    ) -> None:
        """ended: told of work that will not be taken up again."""
        self._jobs, self._figures, self._send_again, self._ended = jobs, figures, send_again, ended

    def done(self, lease: Lease, result: JobResult) -> None:
        self._end(lease, "done", lambda: self._jobs.finish(lease.work_id, lease.token, result))

    def ended_by(self, lease: Lease, error: Exception) -> None:
        """Called while `error` is handled: decide what it means for the job."""
        job, info = lease.job, to_error_info(error)
        if lease.is_lost:
            log.warning("lease_lost", job=job.id)
        elif isinstance(error, Cancelled | EngineStopped) and lease.to_release:
            self._hand_back(lease)
        elif isinstance(error, Cancelled) and lease.cancel_requested:
            self._end(lease, "cancelled", lambda: self._jobs.cancelled(lease.work_id, lease.token))
            log.info("job_cancelled", job=job.id)
        elif isinstance(error, EngineStopped):  # a crash of ours: the lease runs out and counts it
            log.error("engine_stopped", job=job.id)
        elif info.code is ErrorCode.STORE_UNAVAILABLE:  # says nothing about the job
            self._hand_back(lease)
        else:
            if info.code in OURS:
                log.exception("job_failed", job=job.id, code=info.code)  # noqa: LOG004 - see the docstring
            else:
                log.info("job_failed", job=job.id, code=info.code)
            self._end(lease, "failed", lambda: self._jobs.fail(lease.work_id, lease.token, info))

    def _end(self, lease: Lease, how: str, record: Callable[[], bool]) -> None:
        if _write(lease, record):
            self._figures.ended(how)
            if lease.is_resumable or lease.job.attempts > 1:  # else it never had a segment that others could render
                self._ended(lease.work_id)

    def _hand_back(self, lease: Lease) -> None:
        job = lease.job
        if not _write(lease, lambda: self._jobs.release(lease.work_id, lease.token)):
            return
        log.info("job_released", job=job.id)
        try:
            self._send_again(job)
        except ServiceError as error:  # it waits in the record; a sweep sends it
            log.warning("job_not_sent", job=job.id, code=error.code)


def _write(lease: Lease, record: Callable[[], bool]) -> bool:
    """Record an outcome; tries again while the store is away, gives up to the sweep in the end."""
    for left in reversed(range(WRITE_TRIES)):
        try:
            written = record()
        except ServiceError as error:
            log.warning("outcome_not_written", job=lease.job.id, code=error.code)
            if error.code is not ErrorCode.STORE_UNAVAILABLE or not left:
                return False
            time.sleep(WRITE_PAUSE_S)
        else:
            if not written:
                log.warning("outcome_refused", job=lease.job.id)
            return written
    return False
