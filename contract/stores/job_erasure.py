"""Erasing an ended job: its record, and its files once no equal job that shares them is left."""

from contract import blob_keys
from contract.schemas import Job
from contract.stores.interfaces import BlobStore
from contract.stores.jobs import JobStore


def erase_job(jobs: JobStore, blobs: BlobStore, job_id: str) -> tuple[Job, int] | None:
    """The job and how many files went; None: it is not there, or live."""
    job = jobs.delete(job_id)
    return None if job is None else (job, erase_unkept(jobs, blobs, job.work_id))


def erase_unkept(jobs: JobStore, blobs: BlobStore, work_id: str) -> int:
    """The files of a piece of work, unless a record is left that needs them."""
    return 0 if jobs.keeps_files(work_id) else blobs.delete_tree(blob_keys.job_folder(work_id))
