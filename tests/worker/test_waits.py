"""How long jobs waited: what a worker says of it."""

from contract.records import worker_fields, worker_from_fields
from contract.schemas import Priority
from worker.waits import Waits


def test_nineteen_of_twenty_waited_no_longer():
    waits = Waits()
    for seconds in range(1, 101):
        waits.note(Priority.INTERACTIVE, float(seconds))

    assert waits.p95_s == {"interactive": 95.0}


def test_old_waits_are_forgotten():
    waits = Waits()
    for seconds in [1000.0] * 50 + [1.0] * 200:
        waits.note(Priority.BATCH, seconds)

    assert waits.p95_s == {"batch": 1.0}


def test_a_claimed_job_is_in_the_heartbeat(runtime, stores, submit, clock):
    job = submit()
    clock.turn(7.0)
    runtime.synthesize(job.id)

    state = runtime.presence.describe()
    assert state.wait_p95_s == {"interactive": 7.0}
    assert worker_from_fields(worker_fields(state)) == state
