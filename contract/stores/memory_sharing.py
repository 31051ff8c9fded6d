"""What the in-memory job store knows of equal jobs that share one piece of work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contract.schemas import Job, Priority
from contract.stores.jobs import flight


@dataclass
class Shared:
    """Who shares a piece of work with whom.  Changed under the store's lock."""

    inflight: dict[str, str] = field(default_factory=dict)  # flight → the job that leads
    leaders: dict[str, str] = field(default_factory=dict)  # work → the job that leads it, where it is not the first
    sharers: dict[str, set[str]] = field(default_factory=dict)  # work → jobs whose records are there
    took_over: set[str] = field(default_factory=set)  # running jobs that another was claimed as

    def lead(self, before: Job, heir: Job) -> None:
        self.leaders[heir.work_id] = heir.id
        name = flight(before)
        if name is not None and self.inflight.get(name) == before.id:
            self.inflight[name] = heir.id

    def forget(self, job: Job) -> None:
        """The job ends."""
        self.took_over.discard(job.id)
        name = flight(job)
        if name is not None and self.inflight.get(name) == job.id:
            del self.inflight[name]
        if self.leaders.get(job.work_id) == job.id:
            del self.leaders[job.work_id]


RAISES = (Priority.INTERACTIVE, Priority.BATCH)  # of who joins, and of who leads


def like(leader: Job) -> dict[str, Any]:  # Any: of each field its own
    """What a job that follows has in common with the one that leads."""
    names = ("status", "token", "attempts", "progress", "started_at", "worker")
    return {name: getattr(leader, name) for name in names}
