"""Files without a name for what grows while it is made.  What a crash leaves of them is nothing.

A full disk is waited for, as where finished work is stored: space comes back when old jobs are forgotten.
"""

import errno
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from contract.errors import ErrorCode, ServiceError

FULL_DISK_S = 60.0  # what is spoken already waits for room so long; new work is refused meanwhile
TRY_AGAIN_S = 0.5
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}

Done = TypeVar("Done")


@dataclass(frozen=True)
class Scratch:
    """Where they are.  folder: None for the system's;  patience_s: how long a full disk is waited for."""

    folder: Path | None = None
    patience_s: float = FULL_DISK_S

    def open(self) -> "ScratchFile":
        """ServiceError(STORAGE_FULL)."""
        return ScratchFile(self)


class ScratchFile(io.RawIOBase):
    """Used by one thread at a time.

    A write for which there is no room writes nothing and raises nothing: libsndfile would swallow it, and go on as if
    all were well.  `check` tells.
    """

    def __init__(self, where: Scratch) -> None:
        self._patience_s, self._full = where.patience_s, False
        opened = self._patiently(lambda: tempfile.TemporaryFile(dir=where.folder, buffering=0))  # noqa: SIM115 - `close`
        if opened is None:
            raise ServiceError(ErrorCode.STORAGE_FULL)
        self._file = opened

    def check(self) -> None:
        """ServiceError(STORAGE_FULL) if anything is missing in it."""
        if self._full:
            raise ServiceError(ErrorCode.STORAGE_FULL)

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override] # typeshed's Buffer is of 3.12
        left = memoryview(data).cast("B")
        count = len(left)
        while left and not self._full:
            left = left[self._patiently(partial(self._file.write, left)) or 0 :]
        return count - len(left)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # as above
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed and (file := getattr(self, "_file", None)) is not None:
            file.close()
        super().close()

    def _patiently(self, act: Callable[[], Done]) -> Done | None:
        """None, and noted, where there was no room until patience ended."""
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                return act()
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
            if time.monotonic() >= give_up_at:
                self._full = True
                return None
            time.sleep(TRY_AGAIN_S)
