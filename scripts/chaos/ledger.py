"""What clients were promised and what they got.  The verdict is made from this and from nothing the service says."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

FAILED = "failed"


@dataclass
class Entry:
    """One request of one client.  `outcome`: done, failed, cancelled, refused, broken, vanished or '' (open).

    A request is accepted once it has a job's id (202) or its audio (200).  Times are seconds since the start.
    """

    number: int
    kind: str
    voice: int
    parts: int
    began_s: float
    job_id: str | None = None
    accepted_s: float | None = None
    ended_s: float | None = None
    outcome: str = ""
    reason: str = ""  # error code, or what was wrong with the audio
    audio: str = ""  # right, swapped, broken or '' (none)
    cache: str = ""
    finished_at: float | None = None  # as the record says when it was first seen done
    is_poison: bool = False


@dataclass
class Ledger:
    """Safe from many threads."""

    began: float = field(default_factory=time.monotonic)
    entries: list[Entry] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)  # sentences about what came twice
    refusals: Counter[str] = field(default_factory=Counter)  # answers that were a clean no, by code
    surprises: Counter[str] = field(default_factory=Counter)  # answers that should not be
    ended: Counter[str] = field(default_factory=Counter)  # announced ends, by job
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now_s(self) -> float:
        return time.monotonic() - self.began

    def open(self, kind: str, *, voice: int, parts: int, number: int | None = None) -> Entry:
        with self.lock:
            chosen = 1000 + len(self.entries) if number is None else number
            entry = Entry(chosen, kind, voice, parts, began_s=self.now_s())
            self.entries.append(entry)
        return entry

    def accept(self, entry: Entry, job_id: str | None = None) -> None:
        with self.lock:
            entry.accepted_s = entry.accepted_s or self.now_s()
            entry.job_id = job_id or entry.job_id

    def close(self, entry: Entry, outcome: str, reason: str = "") -> None:
        with self.lock:
            entry.outcome, entry.reason, entry.ended_s = outcome, reason, self.now_s()

    def refused(self, code: str) -> None:
        with self.lock:
            self.refusals[code] += 1

    def surprise(self, what: str) -> None:
        with self.lock:
            self.surprises[what] += 1

    def twice(self, what: str) -> None:
        with self.lock:
            self.doubled.append(what)

    def heard_of(self, job_id: str, status: str) -> None:
        """An announcement of the service."""
        with self.lock:
            if status == "done":
                self.ended[job_id] += 1

    # ---- the verdict

    @property
    def accepted(self) -> list[Entry]:
        return [e for e in self.entries if e.accepted_s is not None]

    @property
    def lost(self) -> list[Entry]:
        """Accepted and neither done with the audio in hand, nor failed with a reason, nor given up by its client."""
        fine = {"done", FAILED, "cancelled", "vanished"}
        return [e for e in self.accepted if e.outcome not in fine or (e.outcome == "done" and e.audio == "")]

    @property
    def swapped(self) -> list[Entry]:
        return [e for e in self.entries if e.audio in {"swapped", "broken"}]

    @property
    def failed_innocent(self) -> list[Entry]:
        return [e for e in self.accepted if e.outcome == FAILED and not e.is_poison]

    def twice_ended(self) -> list[str]:
        return [job_id for job_id, count in self.ended.items() if count > 1]
