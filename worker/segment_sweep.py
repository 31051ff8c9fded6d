"""Segments that dead workers and ended jobs left, and finished ones that nobody uses any more.

Every worker does it; the store lets one win.
"""

from contract.errors import ServiceError
from contract.settings import CacheSettings
from contract.stores.interfaces import Stores
from contract.telemetry import event_log

log = event_log(__name__)


class SegmentSweep:
    """Over the stores of one process."""

    def __init__(self, stores: Stores, cache: CacheSettings, *, max_attempts: int) -> None:
        self._stores, self._cache, self._max_attempts = stores, cache, max_attempts

    def sweep(self) -> None:
        """Queue lost segments again or give them up, let ended jobs leave, keep the cache within its bounds."""
        segments = self._stores.segments
        recovered = segments.recover(max_attempts=self._max_attempts)
        for key in recovered.requeued:
            log.warning("segment_requeued", segment=key)
        for key in recovered.given_up:
            log.error("segment_given_up", segment=key)
        for job_id in segments.wanting():
            job = self._stores.jobs.get(job_id)
            if job is None or job.status.is_terminal:
                self.leave(job_id)
        kept_bytes = self._cache.segment_max_bytes if self._cache.enabled else 0
        self._erase(segments.trim(max_bytes=kept_bytes, older_than_s=self._cache.segment_ttl_s))

    def leave(self, job_id: str) -> None:
        """An ended job wants nothing any more; should the store be away, a sweep says so later."""
        try:
            self._erase(self._stores.segments.leave(job_id))
        except ServiceError as error:
            log.warning("segments_not_left", job=job_id, code=error.code)

    def _erase(self, blobs: tuple[str, ...]) -> None:
        for blob in blobs:
            self._stores.blobs.delete(blob)
