"""A worker's process is known to have ended: nobody needs to wait until the leases of what it held run out."""

from __future__ import annotations

from collections.abc import Collection

from contract.last_words import JoinedLast
from contract.stores.interfaces import Event, EventKind, Stores


def bury(stores: Stores, worker: str, pid: int, *, joining: Collection[JoinedLast] = ()) -> int:
    """End its leases and tell the others, who bring its jobs, segments and voices back.  How many those are.

    joining: its last words.  It may have taken messages of jobs that it had not claimed yet: those are sent again.

    A successor of the same name has another process id and keeps what it holds.  Not here: deciding that it has ended;
    only who started it can know.
    """
    held = (
        stores.jobs.bury(worker, pid, joining=joining)
        + stores.segments.bury(worker, pid)
        + stores.voices.bury(worker, pid)
    )
    if stores.jobs.doubt_messages() or held:
        stores.events.publish(Event(EventKind.WORKER, worker, "lost"))
    return held
