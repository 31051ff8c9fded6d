"""Waiting for a job's record to say something: its status, or anything new.  How one waits at all is waiting.py."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, JobStatus
from contract.stores.jobs import JobStore
from megatts3_server.waiting import WaitRoom

_SHORT_TEXT = 4096  # characters; a record with a longer one is not read just to see how the job stands
_STATUSES = frozenset(JobStatus)


class JobWaiting:
    """Every wait is None when the time is up, and raises JOB_NOT_FOUND and ClientGone."""

    def __init__(self, jobs: JobStore, wait_room: WaitRoom) -> None:
        self._jobs, self._wait_room = jobs, wait_room

    def for_status(
        self,
        job: Job,
        until: Callable[[JobStatus], bool],
        *,
        timeout_s: float,
        is_gone: Callable[[], bool],
        may_end_early: bool = False,
        bell: threading.Event | None = None,
    ) -> Job | None:
        """The job once `until` holds of its status.  may_end_early, bell: as in WaitRoom.wait"""
        is_short = len(job.request.text) <= _SHORT_TEXT

        def look() -> Job | None:
            if not is_short and (status := self._jobs.status(job.id)) is not None and not until(status):
                return None
            found = self._read(job.id)
            return found if until(found.status) else None

        return self._wait_room.wait(
            job.id,
            look,
            timeout_s=timeout_s,
            is_gone=is_gone,
            may_end_early=may_end_early,
            is_news=_news(until),
            bell=bell,
        )

    def before(self, job_id: str, until: Callable[[JobStatus], bool]) -> AbstractContextManager[threading.Event]:
        """A bell for `for_status`, hung up before the job is made: the first look is saved."""
        return self._wait_room.registered({job_id}, _news(until))

    def for_change(
        self, job_id: str, is_change: Callable[[Job], bool], *, timeout_s: float, is_gone: Callable[[], bool]
    ) -> Job | None:
        """The job once it is other than it was, in whatever `is_change` minds."""

        def look() -> Job | None:
            found = self._read(job_id)
            return found if is_change(found) else None

        return self._wait_room.wait(job_id, look, timeout_s=timeout_s, is_gone=is_gone)

    def _read(self, job_id: str) -> Job:
        found = self._jobs.get(job_id)
        if found is None:
            raise ServiceError(ErrorCode.JOB_NOT_FOUND, job_id=job_id)
        return found


def _news(until: Callable[[JobStatus], bool]) -> Callable[[str], bool]:
    """Whether an announced status is worth a look."""
    return lambda status: status not in _STATUSES or until(JobStatus(status))
