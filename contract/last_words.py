"""What a process was joining when it was killed: a few bytes in a file of its own, read by who started it.

Whatever a process has written to a file is there after any signal that ends it, and costs microseconds, where a word to
Redis before each segment would cost a round trip.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.telemetry import event_log

SLOTS = 16  # words at a time; more threads than join
SLOT_BYTES = 128  # a job's id has 64 characters at most


@dataclass(frozen=True)
class JoinedLast:
    """A piece of work, by its name, and the place in its manuscript of the segment that was being joined and encoded.

    alone: nothing else was spoken, rendered, prepared or joined there
    """

    work_id: str
    place: int
    alone: bool


PREFIX = "last-words-"
log = event_log(__name__)


def path_of(folder: Path, worker: str, pid: int) -> Path:
    return folder / f"{PREFIX}{worker}-{pid}"


class LastWords:
    """Of one process; safe from many threads.  path None: it says nothing."""

    @classmethod
    def open(cls, folder: Path, worker: str) -> "LastWords":
        """This process's, which says nothing where there is no room for its file; later there needs to be none."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _tidy(folder, worker)
            return cls(path_of(folder, worker, os.getpid()))
        except OSError as error:
            log.warning("no_last_words", reason=error)
            return cls()

    def __init__(self, path: Path | None = None) -> None:
        self._free = threading.Semaphore(SLOTS)
        self._slots, self._lock = list(range(SLOTS)), threading.Lock()
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            os.pwrite(self._file, bytes(SLOTS * SLOT_BYTES), 0)
        self._path = path

    @contextlib.contextmanager
    def about(self, said: JoinedLast) -> Iterator[None]:
        """Until the block ends this is what is found should the process be killed."""
        if self._file is None:
            yield
            return
        words = f"{said.work_id} {said.place} {int(said.alone)}".encode()
        assert len(words) <= SLOT_BYTES, "an id is longer than ids are"
        with self._free:
            with self._lock:
                slot = self._slots.pop()
            try:
                os.pwrite(self._file, words.ljust(SLOT_BYTES, b"\0"), slot * SLOT_BYTES)
                yield
            finally:
                os.pwrite(self._file, bytes(SLOT_BYTES), slot * SLOT_BYTES)
                with self._lock:
                    self._slots.append(slot)

    def close(self) -> None:
        """There is nothing more to say."""
        if self._file is not None and self._path is not None:
            os.close(self._file)
            self._file = None
            self._path.unlink(missing_ok=True)


def taken_last_words(path: Path) -> tuple[JoinedLast, ...]:
    """What a process that has ended was joining, as far as it said.  The file is gone after that."""
    try:
        data = path.read_bytes()
        path.unlink()
    except OSError:  # it never got as far, or ended in good order
        return ()
    slots = (
        data[at : at + SLOT_BYTES].rstrip(b"\0").decode("ascii", "replace") for at in range(0, len(data), SLOT_BYTES)
    )
    found = []
    for words in slots:
        with contextlib.suppress(ValueError):  # nothing, or cut off
            work_id, place, alone = words.split(" ")
            found.append(JoinedLast(work_id, int(place), alone == "1"))
    return tuple(found)


def _tidy(folder: Path, worker: str) -> None:
    """Erase what processes of this name left that nobody took: their machine ended with them."""
    for path in folder.glob(f"{PREFIX}{worker}-*"):
        if not Path("/proc", path.name.rpartition("-")[2]).exists():
            path.unlink(missing_ok=True)
