"""Is there room for new work?  Free space of the disk, and what we may hold of it ourselves."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from contract.errors import ErrorCode, ServiceError

COUNT_AGAIN_S = 10.0  # the sum of all files is not found out for each request


class Room:
    """Asked before new work is accepted.

    min_free_bytes: kept free for work under way, logs and Redis;  max_bytes: of all blobs, None for no limit.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        *,
        min_free_bytes: int = 0,
        max_bytes: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders = tuple(folders)
        self._min_free_bytes, self._max_bytes = min_free_bytes, max_bytes
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held_bytes, self._counted_at = 0, float("-inf")

    def require(self) -> None:
        """ServiceError(STORAGE_FULL) when new work should wait until there is room again."""
        if any(free_bytes(folder) < self._min_free_bytes for folder in self._folders):
            raise ServiceError(ErrorCode.STORAGE_FULL)
        if self._max_bytes is not None and self._held() >= self._max_bytes:
            raise ServiceError(ErrorCode.STORAGE_FULL)

    def _held(self) -> int:
        with self._lock:
            if self._monotonic() - self._counted_at >= COUNT_AGAIN_S:
                self._held_bytes = sum(size_of(folder) for folder in self._folders)
                self._counted_at = self._monotonic()
            return self._held_bytes


def free_bytes(folder: Path) -> int:
    """Of the file system a folder lies on, or will lie on once it is made."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def size_of(folder: Path) -> int:
    """Bytes of all files below; those that vanish meanwhile do not count."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):
                is_folder = entry.is_dir(follow_symlinks=False)
                total += size_of(Path(entry.path)) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total
