"""Manuscripts by job: from memory, else from the blob store.  A few are kept: neighbours render the same book."""

import threading
from collections import OrderedDict

from contract import blob_keys
from contract.stores.interfaces import BlobStore
from worker.manuscript import Manuscript

_KEPT = 16  # a book's is a few MB


class Manuscripts:
    """Safe from many threads."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, Manuscript] = OrderedDict()

    def of_job(self, job_id: str) -> Manuscript:
        """KeyError: the job has none, or was erased."""
        with self._lock:
            if (found := self._recent.get(job_id)) is not None:
                self._recent.move_to_end(job_id)
                return found
        read = Manuscript.from_bytes(self._blobs.get(blob_keys.job_manuscript(job_id)))
        self._remember(job_id, read)
        return read

    def keep(self, job_id: str, manuscript: Manuscript) -> None:
        """Store a job's manuscript, for every worker."""
        self._blobs.put(blob_keys.job_manuscript(job_id), manuscript.to_bytes())
        self._remember(job_id, manuscript)

    def _remember(self, job_id: str, manuscript: Manuscript) -> None:
        with self._lock:
            self._recent[job_id] = manuscript
            while len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
