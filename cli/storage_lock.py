"""One `megatts3 up` a storage directory: two would run two Redis servers over the same files."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cli.exit_codes import ExitCode, LaunchError

PID_FILE = "megatts3.pid"


@contextlib.contextmanager
def hold_storage(storage_dir: Path) -> Iterator[Path]:
    """Hold the directory until the block ends; the kernel lets go by itself if the process dies.

    Yields the pid file.  Raises LaunchError (ALREADY_RUNNING) when another process holds it.
    """
    storage_dir.mkdir(parents=True, exist_ok=True)
    path = storage_dir / PID_FILE
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise LaunchError(
                ExitCode.ALREADY_RUNNING,
                f"another `megatts3 up` (pid {holder}) already uses {storage_dir}; "
                f"stop it, or give this one a storage directory of its own",
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        try:
            yield path
        finally:
            handle.truncate(0)  # the file stays: removing it would let two processes lock two files
