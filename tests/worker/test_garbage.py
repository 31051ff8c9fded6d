"""What a job leaves in memory when it is over: nothing, without waiting for the garbage collector.

Cycles would hold its sound until the collector's slowest round, and on a busy worker that is megabytes a minute.
"""

import gc
import weakref

import pytest
from patience import eventually

from contract import blob_keys
from contract.records import items_to_bytes
from contract.schemas import Item, JobStatus, SpeechRequest

OURS = ("worker", "contract", "megatts3")


@pytest.fixture
def ours_in_garbage():
    """What of ours nothing but cycles has held since the test began."""

    def found() -> list[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        kinds = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        gc.garbage.clear()
        return sorted(kind for kind in kinds if kind.startswith(OURS))

    gc.collect()
    gc.freeze()  # whatever other tests left and somebody lets go later is not ours
    gc.disable()
    yield found
    gc.set_debug(0)
    gc.garbage.clear()
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def batch(stores, submit):
    def make(*texts: str):
        job = submit(items=len(texts))
        items = tuple(Item(SpeechRequest(text=text, voice_id="anna", seed=7)) for text in texts)
        stores.blobs.put(blob_keys.job_items(job.work_id), items_to_bytes(items))
        return job

    return make


def test_a_job_of_one_segment_leaves_no_cycle(runtime, submit, status, ours_in_garbage):
    job = submit()

    runtime.synthesize(job.id)

    assert status(job) is JobStatus.DONE
    assert ours_in_garbage() == []


def test_a_long_text_leaves_no_cycle(runtime, submit, status, ours_in_garbage):
    job = submit("One. Two. Three. Four.")

    runtime.synthesize(job.id)

    assert status(job) is JobStatus.DONE
    assert ours_in_garbage() == []


def test_no_thread_keeps_the_last_job_it_joined(runtime, submit, monkeypatch):
    joined = []
    add = runtime.joiners.add
    monkeypatch.setattr(runtime.joiners, "add", lambda job: joined.append(weakref.ref(job)) or add(job))

    runtime.synthesize(submit("One. Two. Three. Four.").id)

    eventually(lambda: [job() for job in joined] == [None])


def test_a_job_of_items_leaves_no_cycle(runtime, batch, status, ours_in_garbage):
    job = batch("One. Two.", "Three.")

    runtime.synthesize(job.id)

    assert status(job) is JobStatus.DONE
    assert ours_in_garbage() == []


def test_a_text_that_cannot_be_spoken_leaves_no_cycle(runtime, submit, status, ours_in_garbage):
    runtime.engine.failures["Two"] = RuntimeError("broken")
    job = submit("One.Two.Three.")

    runtime.synthesize(job.id)

    eventually(lambda: status(job) is JobStatus.FAILED)
    assert ours_in_garbage() == []
