"""A process that is known to have ended: what it held is brought back without waiting for its leases."""

from __future__ import annotations

import os
import threading

from contract.schemas import Priority
from contract.stores.burial import bury
from contract.stores.interfaces import Event, EventKind
from contract.stores.segments import WantedSegment

MINE = os.getpid()


def test_only_what_that_process_held_is_to_be_had_again(stores, new_job):
    dead, successor = (stores.jobs.create(new_job()).job.id for _ in range(2))
    stores.segments.want("job_x", Priority.BATCH, [WantedSegment("a", 0), WantedSegment("b", 1)])
    stores.jobs.claim(dead, worker="worker0@here", lease_s=30)
    stores.jobs.claim(successor, worker="worker1@here", lease_s=30)
    stores.segments.claim(worker="worker0@here", lease_s=30)
    stores.segments.claim(worker="worker1@here", lease_s=30)

    assert bury(stores, "worker0@here", MINE + 1) == 0, "the same name, another process"
    assert stores.jobs.expired() == ()
    assert bury(stores, "worker0@here", MINE) == 2

    assert stores.jobs.expired() == stores.jobs.expired(buried_only=True) == (dead,)
    assert stores.jobs.requeue(dead).attempts == 1
    assert stores.jobs.requeue(successor) is None
    assert stores.segments.recover(buried_only=True).requeued == ("a",)
    assert [record.status for record in stores.segments.read(["a", "b"])] == ["queued", "running"]


def test_a_lease_that_merely_ran_out_is_left_to_the_whole_sweep(stores, new_job, clock):
    job = stores.jobs.create(new_job()).job
    stores.segments.want("job_x", Priority.BATCH, [WantedSegment("a", 0)])
    stores.jobs.claim(job.id, worker="worker0@here", lease_s=30)
    stores.segments.claim(worker="worker0@here", lease_s=30)
    clock.advance(31)

    assert stores.jobs.expired(buried_only=True) == ()
    assert stores.segments.recover(buried_only=True).requeued == ()
    assert stores.jobs.expired() == (job.id,)
    assert stores.segments.recover().requeued == ("a",)


def test_an_end_is_announced_if_anything_was_held(stores, new_job):
    heard: list[Event] = []
    stop, listens = threading.Event(), threading.Event()

    def listen() -> None:
        for event in stores.events.listen(stop):
            listens.set()
            heard.append(event)
            if event.kind is EventKind.WORKER:
                return

    thread = threading.Thread(target=listen)
    thread.start()
    assert listens.wait(10)
    bury(stores, "worker0@here", MINE)
    job = stores.jobs.create(new_job()).job
    stores.jobs.claim(job.id, worker="worker0@here", lease_s=30)
    bury(stores, "worker0@here", MINE)
    thread.join(10)
    stop.set()

    assert [e for e in heard if e.kind is EventKind.WORKER] == [Event(EventKind.WORKER, "worker0@here", "lost")]


def test_messages_that_it_may_have_taken_are_sent_again(stores, new_job):
    """A message that is taken is gone, and its job perhaps not claimed yet."""
    job = stores.jobs.create(new_job()).job
    assert stores.jobs.resend_due(older_than_s=30) == ()
    bury(stores, "worker0@here", MINE)
    assert [each.id for each in stores.jobs.resend_due(older_than_s=30)] == [job.id]
