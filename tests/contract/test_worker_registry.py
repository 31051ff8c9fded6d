"""Workers that are there, and one that is being replaced."""

from contract.schemas import WorkerState

WORKER = WorkerState(name="worker0@here", pid=7, host="here", device="cpu", precision="fp32", ready=True, revision="r1")


def test_a_worker_that_is_being_replaced_is_known_as_it_was_for_a_while(stores, clock, wait):
    stores.workers.heartbeat(WORKER, ttl_s=15)
    assert stores.workers.awaited() is None

    stores.workers.await_again(WORKER, ttl_s=120)
    stores.workers.remove(WORKER.name)

    assert stores.workers.list() == ()
    assert stores.workers.awaited() == WORKER
    stores.workers.await_again(WORKER, ttl_s=0.001)
    clock.advance(1)
    wait(lambda: stores.workers.awaited() is None, "it is forgotten")
