"""One job through the worker: what is stored, and how each way of ending looks in the record."""

import dataclasses
import io
import threading

import numpy as np
import pytest
import soundfile
from fake_engine import SAMPLE_RATE, FakeEngine, speech, voice_of
from patience import clip, eventually

from contract.errors import ErrorCode, ServiceError
from contract.queues import TaskName
from contract.schemas import AudioFormat, JobStatus, SpeechRequest
from megatts3.audio.join import join
from megatts3.errors import NonFinite, TextTooLong
from worker.translate import to_sampling_params


def stored_samples(stores, job) -> tuple[np.ndarray, int]:
    result = stores.jobs.get(job.id).result
    return soundfile.read(io.BytesIO(stores.blobs.get(result.audio_blob)))


def test_a_job_ends_done_with_its_own_text_in_its_own_voice(runtime, stores, submit):
    job = submit("One. Two.", request={"seed": 7})

    runtime.synthesize(job.id)

    ended = stores.jobs.get(job.id)
    assert ended.status is JobStatus.DONE
    params = to_sampling_params(job.request, seed=7)
    expected = join([speech(part, voice_of(clip()), params) for part in ("One", " Two")])
    samples, rate = stored_samples(stores, job)
    assert rate == SAMPLE_RATE
    assert np.abs(samples - expected.samples).max() < 1e-4
    assert ended.result.duration_s == pytest.approx(len(samples) / rate)
    assert ended.result.segments == 2
    assert ended.result.synthesis_s > 0


def test_a_second_delivery_of_a_job_is_ignored(runtime, stores, submit):
    """Celery may deliver twice; the client must hear the speech once."""
    job = submit()

    runtime.synthesize(job.id)
    runtime.synthesize(job.id)

    assert runtime.engine.submitted == [job.id]


def test_a_message_for_a_job_that_is_gone_is_ignored(runtime):
    runtime.synthesize("job_nowhere")

    assert runtime.engine.submitted == []


@pytest.mark.parametrize(
    ("audio_format", "sample_rate", "magic"),
    [
        (AudioFormat.WAV, 16_000, b"RIFF"),
        (AudioFormat.FLAC, 48_000, b"fLaC"),
        (AudioFormat.OPUS, 24_000, b"OggS"),
    ],
)
def test_the_answer_has_the_format_and_rate_that_were_asked_for(
    runtime, stores, submit, audio_format, sample_rate, magic
):
    job = submit(request={"response_format": audio_format, "sample_rate": sample_rate})

    runtime.synthesize(job.id)

    result = stores.jobs.get(job.id).result
    data = stores.blobs.get(result.audio_blob)
    assert data.startswith(magic)
    assert result.audio_format is audio_format
    assert result.size_bytes == len(data)
    assert stored_samples(stores, job)[1] == sample_rate


def test_finished_audio_goes_into_the_cache_and_answers_an_equal_job(runtime, stores, submit):
    first, second = (
        submit(fingerprint="f1"),
        submit(fingerprint="f1"),
    )  # the second came before the first ended
    assert second.follows

    runtime.synthesize(first.id)
    later = submit(fingerprint="f1")
    runtime.synthesize(later.id)

    assert stores.jobs.get(second.id).result == stores.jobs.get(first.id).result
    result = stores.jobs.get(later.id).result
    assert result.from_cache
    assert runtime.engine.submitted == [first.id]
    assert stores.blobs.get(result.audio_blob) == stores.audio_cache.get("f1").data


def test_a_job_without_a_fingerprint_is_never_cached(runtime, stores, submit):
    job = submit(fingerprint=None)

    runtime.synthesize(job.id)

    assert stores.audio_cache.stats().entries == 0


def test_a_library_error_becomes_its_code_in_the_record(runtime, stores, submit):
    job = submit("too much")
    runtime.engine.failures["too much"] = TextTooLong(8, 4)

    runtime.synthesize(job.id)

    ended = stores.jobs.get(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error.code is ErrorCode.TEXT_TOO_LONG
    assert "8" in ended.error.detail
    assert "4" in ended.error.detail


def test_a_row_that_fails_does_not_touch_its_neighbour(runtime, stores, submit):
    good, bad = submit("good"), submit("bad")
    runtime.engine.failures["bad"] = NonFinite("bad", "velocity")

    runtime.synthesize(bad.id)
    runtime.synthesize(good.id)

    assert stores.jobs.get(bad.id).error.code is ErrorCode.SYNTHESIS_FAILED
    assert stores.jobs.get(good.id).status is JobStatus.DONE


def test_a_surprise_is_internal_and_tells_nothing_of_itself(runtime, stores, submit, caplog):
    job = submit("secret text")
    runtime.engine.failures["secret text"] = ZeroDivisionError("secret text at line 3")

    runtime.synthesize(job.id)

    ended = stores.jobs.get(job.id)
    assert ended.error.code is ErrorCode.INTERNAL
    assert "secret" not in ended.error.detail
    assert "ZeroDivisionError" in caplog.text  # the log has it in full


def test_text_with_nothing_to_say_is_an_error_and_never_empty_audio(runtime, stores, submit):
    job = submit(" . ")

    runtime.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.FAILED


def test_an_unknown_voice_is_named_in_the_record(runtime, stores):
    from contract.schemas import Job

    job = stores.jobs.create(Job(id="job_x", request=SpeechRequest("One.", voice_id="nobody"))).job

    runtime.synthesize(job.id)

    assert stores.jobs.get(job.id).error.code is ErrorCode.VOICE_NOT_FOUND


def test_a_deadline_that_passes_while_it_runs_stops_the_job(runtime, stores, submit, clock):
    runtime.engine.gate.clear()
    job = submit(deadline_at=clock() + 0.05)

    runtime.synthesize(job.id)  # the fake engine's clock runs on: the gate never opens

    assert stores.jobs.get(job.id).error.code is ErrorCode.DEADLINE_EXCEEDED


def test_a_deadline_that_passed_in_the_queue_costs_no_compute(runtime, stores, submit, clock):
    job = submit(deadline_at=clock() + 5)
    clock.turn(6)

    runtime.synthesize(job.id)

    assert stores.jobs.get(job.id).error.code is ErrorCode.DEADLINE_EXCEEDED
    assert runtime.engine.submitted == []


def test_a_cancel_stops_a_running_job(runtime, stores, submit, status, in_background):
    runtime.engine.gate.clear()
    job = submit()
    task = in_background(runtime.synthesize, job.id)
    eventually(lambda: runtime.engine.submitted)

    stores.jobs.request_cancel(job.id)
    task.join(10)

    assert status(job) is JobStatus.CANCELLED


def test_a_cancel_is_obeyed_before_the_next_heartbeat(make_runtime, stores, submit, status, in_background, settings):
    slow = dataclasses.replace(settings, jobs=dataclasses.replace(settings.jobs, heartbeat_s=3600.0))
    runtime = make_runtime(settings=slow)
    runtime.engine.gate.clear()
    runtime.start()
    job = submit()
    task = in_background(runtime.synthesize, job.id)
    eventually(lambda: runtime.engine.submitted)

    stores.jobs.request_cancel(job.id)
    task.join(10)

    assert status(job) is JobStatus.CANCELLED


def test_the_heartbeat_tells_how_fast_the_worker_has_been(runtime, submit):
    assert runtime.presence.describe().rtf is None

    runtime.synthesize(submit().id)

    assert runtime.presence.describe().rtf > 0
    assert runtime.presence.describe().audio_s_per_s == pytest.approx(1 / runtime.presence.describe().rtf)


def test_progress_reaches_the_record_while_the_job_runs(runtime, stores, submit, in_background):
    job = submit("One. Two. Three.")
    runtime.engine.gate.clear()
    in_background(runtime.synthesize, job.id)
    eventually(lambda: stores.jobs.get(job.id).progress.segments_total == 3)
    assert stores.jobs.get(job.id).progress.segments_done == 0

    runtime.engine.gate.set()
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.DONE)


def test_many_jobs_at_once_each_get_their_own_audio(runtime, stores, submit, in_background):
    jobs = [submit(f"Number {n}. And more of {n}.", request={"seed": n}) for n in range(12)]
    for thread in [in_background(runtime.synthesize, job.id) for job in jobs]:
        thread.join(20)

    for n, job in enumerate(jobs):
        params = to_sampling_params(job.request, seed=n)
        parts = [speech(part, voice_of(clip()), params) for part in (f"Number {n}", f" And more of {n}")]
        samples, _ = stored_samples(stores, job)
        assert np.abs(samples - join(parts).samples).max() < 1e-4
    assert len(runtime.engine.prepared) == 1  # all twelve asked for the voice, one prepared it


def test_a_drain_hands_back_what_does_not_end_in_time(make_runtime, stores, submit, status, sent, in_background):
    leaving = make_runtime(drain_s=0.05)
    leaving.engine.gate.clear()
    job = submit()
    task = in_background(leaving.synthesize, job.id)
    eventually(lambda: leaving.engine.submitted)

    leaving.begin_drain()
    task.join(10)

    assert status(job) is JobStatus.QUEUED
    assert sent == [(TaskName.SYNTHESIZE, job.id)]
    make_runtime(name="worker1").synthesize(job.id)
    assert status(job) is JobStatus.DONE


def test_a_drain_waits_for_what_ends_in_time(make_runtime, submit, status, sent, in_background):
    leaving = make_runtime(drain_s=30.0)
    leaving.engine.gate.clear()
    job = submit()
    task = in_background(leaving.synthesize, job.id)
    eventually(lambda: leaving.engine.submitted)

    leaving.begin_drain()
    leaving.engine.gate.set()
    task.join(10)

    assert status(job) is JobStatus.DONE
    assert sent == []


def test_a_job_goes_back_when_the_store_fails_in_the_middle(make_runtime, stores, submit, status, sent):
    """That says nothing about the job: another attempt, not a failure."""

    class Away:
        def get(self, _voice_id: str) -> None:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE)

    job = submit()
    make_runtime(stores=dataclasses.replace(stores, voices=Away())).synthesize(job.id)

    assert status(job) is JobStatus.QUEUED
    assert sent == [(TaskName.SYNTHESIZE, job.id)]


def test_audio_of_a_voice_erased_meanwhile_is_not_cached(runtime, stores, submit, voice, in_background):
    runtime.engine.gate.clear()
    job = submit(fingerprint="f1")
    task = in_background(runtime.synthesize, job.id)
    eventually(lambda: runtime.engine.submitted)
    stores.voices.delete(voice.id)

    runtime.engine.gate.set()
    task.join(10)

    assert stores.audio_cache.get("f1") is None


@pytest.mark.parametrize(("reason", "code"), [(None, 70), ("AcceleratorError", 75)])
def test_the_worker_leaves_when_its_engine_died(make_runtime, reason, code):
    """By a code that says what it was; whoever supervises starts it again, and its jobs' leases run out."""
    left: list[int] = []
    gone = threading.Event()
    runtime = make_runtime(FakeEngine(), leave=lambda code: (left.append(code), gone.set()))
    runtime.presence.is_ready(runtime.engine.capabilities, runtime.engine.revision)
    runtime.engine.die(reason)

    runtime.housekeeping.start()

    assert gone.wait(10)
    assert left[0] == code
