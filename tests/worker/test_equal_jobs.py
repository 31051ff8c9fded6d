"""Equal jobs share one computation in the worker, and a cancel, a crash or a drain of one costs no other."""

import pytest
from fake_engine import FakeEngine
from patience import clip, eventually
from test_fan_out import BOOK, LINES, SEED

from contract.schemas import Job, JobStatus, Priority, SpeechRequest
from contract.stores.interfaces import Stores


@pytest.fixture
def stores(either_stores) -> Stores:
    return either_stores


@pytest.fixture
def equal(submit):
    def make(text: str, count: int = 2, **fields: object) -> list[Job]:
        return [submit(text, request=SEED, fingerprint=f"print of {text}", **fields) for _ in range(count)]

    return make


@pytest.fixture
def worker(make_runtime):
    built = make_runtime()
    built._events.start()
    return built


def all_are(stores, jobs, status) -> bool:
    return all(stores.jobs.get(job.id).status is status for job in jobs)


@pytest.mark.parametrize("text", ["One sentence", BOOK])
def test_the_work_goes_on_when_the_first_who_asked_gives_up(worker, stores, equal, in_background, text):
    worker.engine.gate.clear()
    first, *others = equal(text, 3, priority=Priority.BATCH)
    in_background(worker.synthesize, first.id)
    eventually(lambda: worker.engine.submitted)

    stores.jobs.request_cancel(first.id)
    worker.leases.beat()
    worker.sweep()
    assert stores.jobs.get(first.id).status is JobStatus.CANCELLED
    worker.engine.gate.set()
    eventually(lambda: all_are(stores, others, JobStatus.DONE))

    assert len(worker.engine.rendered) == (len(LINES) if text is BOOK else 1), "nothing is rendered twice"
    blobs = {stores.jobs.get(job.id).result.audio_blob for job in others}
    assert all(stores.blobs.get(blob) for blob in blobs)


@pytest.mark.parametrize("text", ["One sentence", BOOK])
def test_when_nobody_is_left_the_work_stops_between_steps(worker, stores, equal, in_background, text):
    worker.engine.gate.clear()
    jobs = equal(text, 3, priority=Priority.BATCH)
    task = in_background(worker.synthesize, jobs[0].id)
    eventually(lambda: worker.engine.submitted)
    for job in jobs:
        stores.jobs.request_cancel(job.id)

    eventually(lambda: all_are(stores, jobs, JobStatus.CANCELLED))
    task.join(10)
    eventually(lambda: not worker.renderers.held)
    assert not worker.engine.rendered
    assert stores.segments.wanting() == ()


def test_a_crash_after_the_first_gave_up_loses_nobody(make_runtime, stores, equal, in_background, lose):
    lost = make_runtime(name="lost")
    lost.engine.gate.clear()
    first, *others = equal("One sentence", 3)
    in_background(lost.synthesize, first.id)
    eventually(lambda: lost.engine.submitted)
    stores.jobs.request_cancel(first.id)
    stores.jobs.delete(first.id)
    lose(lost)
    heir = make_runtime(name="heir")

    swept = heir.sweep()
    assert swept.requeued == (others[0].id,)
    heir.synthesize(first.id)  # its message names the work, whose first job is gone

    assert all_are(stores, others, JobStatus.DONE)
    lost.engine.gate.set()


def test_an_uploaded_recording_outlives_the_job_that_brought_it(make_runtime, stores, in_background):
    worker = make_runtime()
    stores.blobs.put("jobs/job_a/reference", clip())
    request = SpeechRequest(text="Mine", voice_id="upload", seed=1)
    made = [
        stores.jobs.create(
            Job(id=name, request=request, fingerprint="f", reference_audio_blob=f"jobs/{name}/reference")
        ).job
        for name in ("job_a", "job_b")
    ]
    stores.jobs.request_cancel("job_a")
    from contract.stores.job_erasure import erase_job

    erase_job(stores.jobs, stores.blobs, "job_a")
    worker.synthesize("job_a")
    assert stores.jobs.get(made[1].id).status is JobStatus.DONE
    worker._janitor.tidy()
    assert stores.blobs.get(stores.jobs.get("job_b").result.audio_blob)


def test_nobody_hears_what_another_asked_for(make_runtime, stores, submit, in_background):
    """Many requests of few texts, at once, half of them given up: whoever is done has the sound of its own text."""
    workers = [make_runtime(FakeEngine(), name=f"w{n}") for n in range(2)]
    jobs = [
        submit(f"text {n % 4}", request=SEED, fingerprint=f"print {n % 4}", metadata={"text": n % 4}) for n in range(24)
    ]
    for at, job in enumerate(jobs):
        in_background(workers[at % 2].synthesize, job.id)
        if at % 2:
            stores.jobs.request_cancel(job.id)
    eventually(lambda: all(stores.jobs.get(job.id).status.is_terminal for job in jobs))

    heard = {}
    for job in map(stores.jobs.get, (job.id for job in jobs)):
        if job.status is JobStatus.DONE:
            heard.setdefault(job.metadata["text"], set()).add(stores.blobs.get(job.result.audio_blob))
    assert len(heard) == 4
    assert all(len(sounds) == 1 for sounds in heard.values())
    assert len(set.union(*heard.values())) == 4
    assert sum(job.follows for job in jobs) > 10
