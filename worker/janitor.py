"""Files without records and records without files: what a crash between two writes can leave.

Voices are never touched: a voice's recording cannot be made again, and a Redis that lost its records must not cost it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from contract import blob_keys
from contract.schemas import JOB_ID, Job, JobStatus
from contract.stores.interfaces import BlobStore
from contract.stores.jobs import JobStore
from contract.telemetry import event_log

log = event_log(__name__)

PAGE = 200


@dataclass(frozen=True)
class Tidied:
    """Names of job folders and ids of job records that were erased."""

    files: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


def _is_empty(job: Job, blobs: BlobStore) -> bool:
    """A job of items has a file an item; what is gone of them is seen when it is asked for."""
    return job.result is not None and not job.items and not blobs.exists(job.result.audio_blob)


class Janitor:
    """Looks once in `every_s`; several workers may do so, erasing what is erased already does nothing.

    keep_s: a folder younger than this is left alone: its record may be about to be written, or was lost with Redis and
    is still wanted by somebody with a backup
    """

    def __init__(
        self,
        jobs: JobStore,
        blobs: BlobStore,
        *,
        keep_s: float,
        every_s: float,
        unix_s: Callable[[], float],
    ) -> None:
        self._jobs, self._blobs = jobs, blobs
        self._keep_s, self._every_s, self._unix_s = keep_s, every_s, unix_s
        self._next_at = unix_s() + every_s

    def look(self) -> Tidied:
        """Nothing before its time has come."""
        if self._unix_s() < self._next_at:
            return Tidied()
        self._next_at = self._unix_s() + self._every_s
        return self.tidy()

    def tidy(self) -> Tidied:
        tidied = Tidied(self._files_without_records(), self._records_without_files())
        if tidied.files or tidied.records:
            log.warning("tidied", files=len(tidied.files), records=len(tidied.records))
        return tidied

    def _files_without_records(self) -> tuple[str, ...]:
        old = self._unix_s() - self._keep_s
        strays = [
            folder.name
            for folder in self._blobs.folders("jobs")
            if folder.changed_at < old and JOB_ID.fullmatch(folder.name) and not self._jobs.keeps_files(folder.name)
        ]
        for name in strays:
            self._blobs.delete_tree(blob_keys.job_folder(name))
        return tuple(strays)

    def _records_without_files(self) -> tuple[str, ...]:
        """Done jobs whose audio is gone: nobody can fetch it, and an Idempotency-Key must not lead there."""
        empty: list[str] = []
        cursor: str | None = None
        while True:
            page = self._jobs.list(status=JobStatus.DONE, cursor=cursor, limit=PAGE)
            empty += [job.id for job in page.jobs if _is_empty(job, self._blobs)]
            if page.cursor is None:
                break
            cursor = page.cursor
        for job_id in empty:
            self._jobs.delete(job_id)
        return tuple(empty)
