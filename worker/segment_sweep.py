"""Segments that dead workers and ended jobs left, and finished ones that nobody uses any more.

Every worker does it; the store lets one win.
"""

from contract.errors import ErrorCode, ServiceError
from contract.settings import CacheSettings
from contract.stores.interfaces import Stores
from contract.telemetry import event_log

log = event_log(__name__)

SHARE_LEFT = 0.75  # of the bytes of kept segments, after a sweep that found the disk full


class SegmentSweep:
    """Over the stores of one process."""

    def __init__(self, stores: Stores, cache: CacheSettings, *, max_attempts: int) -> None:
        self._stores, self._cache, self._max_attempts = stores, cache, max_attempts

    def sweep(self) -> None:
        """Queue lost segments again or give them up, let ended jobs leave, keep the cache within its bounds."""
        segments = self._stores.segments
        self.bring_back()
        for job_id in segments.wanting():
            if self._stores.jobs.leader(job_id) is None:
                self.leave(job_id)
        self._erase(segments.trim(max_bytes=self._kept_bytes(), older_than_s=self._cache.segment_ttl_s))

    def bring_back(self, *, buried_only: bool = False) -> None:
        """The first part of a sweep; buried_only: for leases of processes that are known to have ended."""
        recovered = self._stores.segments.recover(max_attempts=self._max_attempts, buried_only=buried_only)
        for key in recovered.requeued:
            log.warning("segment_requeued", segment=key)
        for key in recovered.given_up:
            log.error("segment_given_up", segment=key)

    def leave(self, job_id: str) -> None:
        """An ended job wants nothing any more; should the store be away, a sweep says so later."""
        try:
            self._erase(self._stores.segments.leave(job_id))
        except ServiceError as error:
            log.warning("segments_not_left", job=job_id, code=error.code)

    def _kept_bytes(self) -> int:
        """What is kept makes way before new work is refused for want of room: a part of it with each sweep."""
        if not self._cache.enabled:
            return 0
        try:
            self._stores.blobs.require_room()
        except ServiceError as error:
            if error.code is not ErrorCode.STORAGE_FULL:
                raise
            return int(SHARE_LEFT * self._stores.segments.stats().size_bytes)
        return self._cache.segment_max_bytes

    def _erase(self, blobs: tuple[str, ...]) -> None:
        for blob in blobs:
            self._stores.blobs.delete(blob)
