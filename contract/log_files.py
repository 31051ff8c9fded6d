"""One rotating log file for several processes.

Each line is one write to a file opened for appending, under a lock on `<file>.lock`, so lines never mix and
two processes never rotate at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path


class SharedRotatingFile(logging.Handler):
    """Rotates to `.1 … .backup_count` when the next line would pass `max_bytes`.

    Mutable: the descriptors, opened anew in a forked child (a lock taken through an inherited one is shared).
    """

    def __init__(self, path: Path, max_bytes: int, *, backup_count: int) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes
        self._backup_count = backup_count
        self._owner = 0
        self._file = self._guard = -1
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._open_current()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
            with self._locked():
                self._open_current()
                size = os.fstat(self._file).st_size
                if size and size + len(line) > self._max_bytes:
                    self._rotate()
                os.write(self._file, line)
        except Exception:  # noqa: BLE001 - logging's own rule: a log that fails must not stop the work
            self.handleError(record)

    def close(self) -> None:
        if self._owner == os.getpid():
            for descriptor in (self._file, self._guard):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._owner, self._file, self._guard = 0, -1, -1
        super().close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._owner != os.getpid():
            lock = self._path.with_name(self._path.name + ".lock")
            self._guard = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._file = -1
            self._owner = os.getpid()
        fcntl.flock(self._guard, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._guard, fcntl.LOCK_UN)

    def _open_current(self) -> None:
        """Follow the name: another process may have rotated, or someone removed the file."""
        if self._file >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._file)):
                    return
            os.close(self._file)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o644)

    def _rotate(self) -> None:
        if self._backup_count:
            for number in range(self._backup_count - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()
        self._open_current()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
