"""Hold the jobs of this process: one thread renews every lease, passes progress on and carries cancels in.

A lease that is lost (another worker has the job now) stops the work here and writes nothing.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from contract.errors import ServiceError
from contract.schemas import JobProgress, Priority
from contract.stores.jobs import Claim, JobStore
from contract.telemetry import event_log

log = event_log(__name__)


class Stoppable(Protocol):
    """The running request, as far as a lease minds it."""

    def cancel(self) -> None: ...


class Lease:
    """One claimed job.  Its task's thread follows a request; the keeper's thread sets the flags."""

    def __init__(self, claim: Claim) -> None:
        self.job, self.token = claim.job, claim.token
        self.work_id = claim.job.work_id  # by which the store knows it, whoever leads it meanwhile
        self.is_lost = False
        self.cancel_requested = False
        self.to_release = False  # draining took too long: the job goes back to the queue
        self.is_ending = False  # see contract.schemas.JobProgress
        self.is_resumable = False  # what is finished of it is kept: it may go on elsewhere at any time
        self.report: Callable[[], JobProgress] | None = None
        self.telling = threading.Lock()  # what is told last is what was seen last
        self._followed: Stoppable | None = None
        self._lock = threading.Lock()

    @property
    def must_stop(self) -> bool:
        return self.is_lost or self.cancel_requested or self.to_release

    def follow(self, running: Stoppable, report: Callable[[], JobProgress]) -> None:
        """From now on a reason to stop cancels `running`; one that came before does so at once."""
        with self._lock:
            self._followed, self.report = running, report
        if self.must_stop:
            running.cancel()

    def let_go(self) -> None:
        """It is over: what is followed refers back to its lease, and its sound would wait for the garbage collector."""
        with self._lock:
            self._followed = self.report = None

    def stop(self) -> None:
        """Cancel what is followed, if anything is yet."""
        with self._lock:
            followed = self._followed
        if followed is not None:
            followed.cancel()


class LeaseKeeper:
    """All leases of this process and the thread that keeps them."""

    def __init__(self, jobs: JobStore, *, lease_s: float, heartbeat_s: float) -> None:
        self._jobs, self._lease_s, self._heartbeat_s = jobs, lease_s, heartbeat_s
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Once; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Lease]:
        """Keep the claim's lease alive until the block ends."""
        lease = Lease(claim)
        with self._changed:
            self._leases[lease.work_id] = lease
        try:
            yield lease
        finally:
            with self._changed:
                if self._leases.get(lease.work_id) is lease:
                    del self._leases[lease.work_id]
                self._changed.notify_all()
            lease.let_go()

    @property
    def held(self) -> int:
        with self._lock:
            return len(self._leases)

    def wait_until_none(self, timeout_s: float) -> bool:
        """Whether every job ended within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._leases, timeout_s)

    def release_all(self) -> None:
        """Stop what runs; its tasks hand their jobs back to the queue."""
        for lease in self._all():
            lease.to_release = True
            lease.stop()

    def release_resumable(self) -> None:
        """Hand back at once what loses nothing by it, unless somebody waits for it."""
        for lease in self._all():
            if lease.is_resumable and lease.job.priority is Priority.BATCH:
                lease.to_release = True
                lease.stop()

    def hear_of(self, work_id: str) -> None:
        """Something about it changed; a cancel is obeyed now rather than at the next heartbeat."""
        with self._lock:
            lease = self._leases.get(work_id)
        if lease is not None:
            self._renew(lease, progress=None)

    def beat(self) -> None:
        """Renew every lease once."""
        for lease in self._all():
            self.tell(lease)

    def tell(self, lease: Lease) -> None:
        """Renew one lease and pass its progress on now: by it is judged whose fault the loss of this worker is."""
        try:
            with lease.telling:
                report = lease.report
                self._renew(lease, progress=report() if report is not None else None)
        except ServiceError as error:  # Redis is away: the lease may outlast it
            log.warning("lease_not_renewed", job=lease.job.id, code=error.code)

    def _run(self) -> None:
        while not self._stopping.wait(self._heartbeat_s):
            self.beat()

    def _all(self) -> list[Lease]:
        with self._lock:
            return list(self._leases.values())

    def _renew(self, lease: Lease, *, progress: JobProgress | None) -> None:
        answer = self._jobs.heartbeat(lease.work_id, lease.token, lease_s=self._lease_s, progress=progress)
        with self._lock:
            if self._leases.get(lease.work_id) is not lease:  # the job ended while we asked
                return
        if not answer.alive:
            lease.is_lost = True
        elif answer.cancel_requested:
            lease.cancel_requested = True
        if lease.must_stop:
            lease.stop()
