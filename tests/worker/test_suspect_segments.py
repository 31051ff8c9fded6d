"""What a worker was lost with: its segments are suspects, rendered alone; who merely waited is none."""

from patience import eventually
from test_fan_out import BOOK, LINES, SEED

from contract.schemas import JobProgress, JobStatus, Priority
from contract.stores.segments import WantedSegment


def test_a_poisoned_segment_fails_its_job_after_two_workers_and_spares_its_neighbours(
    make_runtime, stores, submit, clock
):
    """Nobody renders here: what a crash leaves is a lease that runs out."""
    worker = make_runtime()
    worker.renderers.stop()
    keys = ["poison", "fine", "fine-too"]
    job = submit(priority=Priority.BATCH)
    stores.segments.want(job.id, Priority.BATCH, [WantedSegment(key, n, float(n)) for n, key in enumerate(keys)])
    taken = [stores.segments.claim(worker="w", lease_s=10) for _ in range(3)]  # all three at once: a crash
    assert [each.key for each in taken] == keys
    clock.turn(11)
    worker._segment_sweep.sweep()

    assert stores.segments.claim(worker="w2", lease_s=10) is None, "all three are suspects"
    assert stores.segments.has_suspects()
    assert stores.segments.claim_suspect(worker="w2", lease_s=10).key == "poison"
    clock.turn(11)
    worker._segment_sweep.sweep()

    assert [record.status for record in stores.segments.read(keys)] == ["failed", "queued", "queued"]


def test_a_suspected_segment_is_rendered_alone(watched, stores, clock):
    """It has to wait until it can be, and what comes later waits for it."""
    worker = watched()
    with worker._company.alone():
        stores.segments.want("job_lost", Priority.BATCH, [WantedSegment("suspect", 0)])
        stores.segments.claim(worker="w", lease_s=10)
        clock.turn(11)
        stores.segments.recover()
        worker.renderers.wake()
        eventually(lambda: any(guest.alone for guest in tuple(worker._company._waiting)))
        stores.segments.want("job_new", Priority.BATCH, [WantedSegment("fresh", 0)])
        eventually(lambda: len(worker._company._waiting) > 1)
        assert [record.status for record in stores.segments.read(["suspect", "fresh"])] == ["queued", "queued"]
    eventually(lambda: stores.segments.stats().queued == 0)


def test_who_only_waited_for_its_segments_is_no_suspect(watched, stores, submit, in_background, lose):
    """A long job's worker is lost while others render: it is anybody's fault but the job's, however often."""
    survivor = watched("survivor")
    survivor.engine.gate.clear()
    job = submit(BOOK, request=SEED)
    for n in range(3):
        lost = watched(f"lost{n}")
        lost.renderers.stop()
        in_background(lost.synthesize, job.id)
        eventually(lambda: stores.jobs.get(job.id).progress.segments_total == len(LINES))
        lose(lost)
        survivor.leases.beat()
        survivor.renderers.beat()
        eventually(lambda: job.id in survivor.sweep().requeued)
        assert stores.jobs.get(job.id).attempts == 0
    survivor.engine.gate.set()
    survivor.synthesize(job.id)
    assert stores.jobs.get(job.id).status is JobStatus.DONE


def test_a_suspect_that_waits_to_be_joined_is_not_to_blame_for_what_happens_meanwhile(
    watched, stores, submit, clock, settings, in_background, lose
):
    """A worker was lost as it joined the job; the next one is lost while the job waits there for its turn."""
    job = submit(BOOK, request=SEED)
    held = stores.jobs.claim(job.id, worker="first", lease_s=settings.jobs.lease_s)
    ending = JobProgress(len(LINES), len(LINES), is_ending=True)
    stores.jobs.heartbeat(job.id, held.token, lease_s=settings.jobs.lease_s, progress=ending)
    clock.turn(settings.jobs.lease_s + 1)
    survivor = watched("survivor")
    assert survivor.sweep().requeued == (job.id,)
    survivor.renderers.stop()

    second = watched("second")
    second.engine.holds = {f" {LINES[-1]}"}
    in_background(second.synthesize, job.id)
    eventually(lambda: stores.jobs.get(job.id).progress.segments_done == len(LINES) - 1)
    with second._company.beside():
        second.engine.holds.clear()
        eventually(lambda: any(guest.alone for guest in tuple(second._company._waiting)))
        second.leases.beat()
        assert stores.jobs.get(job.id).progress.segments_done == len(LINES)
        lose(second)
        assert survivor.sweep().requeued == (job.id,)
        assert stores.jobs.get(job.id).attempts == 1
