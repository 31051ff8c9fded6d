"""What happens to a job when the worker that held it is gone."""

import os
from contextlib import ExitStack

from patience import eventually

from contract.errors import ErrorCode
from contract.queues import TaskName
from contract.schemas import JobStatus, Voice, VoiceStatus
from contract.settings import JobSettings, Settings
from contract.stores.burial import bury


def test_a_killed_workers_job_is_requeued_and_done_once(make_runtime, stores, submit, sent, in_background, lose):
    killed, survivor = make_runtime(name="killed"), make_runtime(name="survivor")
    killed.engine.gate.clear()
    job = submit()
    zombie = in_background(killed.synthesize, job.id)
    eventually(lambda: killed.engine.submitted)
    lose(killed)

    swept = survivor.sweep()
    assert swept.requeued == (job.id,)
    assert sent == [(TaskName.SYNTHESIZE, job.id)]
    survivor.synthesize(job.id)
    done = stores.jobs.get(job.id)
    killed.engine.gate.set()  # it was not dead after all, and finishes too
    killed.line.thaw()
    zombie.join(10)

    assert done.status is JobStatus.DONE
    assert done.worker == "survivor"
    assert stores.jobs.get(job.id) == done  # the late result changed nothing


def test_two_workers_that_get_the_same_message_never_both_finish(make_runtime, submit, status, in_background):
    one, two = make_runtime(name="one"), make_runtime(name="two")
    for _ in range(20):
        job = submit()
        threads = [in_background(worker.synthesize, job.id) for worker in (one, two)]
        for thread in threads:
            thread.join(10)
        assert status(job) is JobStatus.DONE
    assert len(one.engine.submitted) + len(two.engine.submitted) == 20


def test_a_job_that_takes_down_two_workers_fails(make_runtime, stores, submit, in_background, lose):
    job = submit()
    survivor = make_runtime(name="survivor")
    doomed = []
    for name in ("first", "second"):
        worker = make_runtime(name=name)
        worker.engine.gate.clear()
        in_background(worker.synthesize, job.id)
        eventually(lambda engine=worker.engine: engine.submitted)
        lose(worker)
        doomed.append(worker)
        swept = survivor.sweep()
    assert swept.given_up == (job.id,)
    for worker in doomed:
        worker.engine.gate.set()

    failed = stores.jobs.get(job.id)
    assert failed.status is JobStatus.FAILED
    assert failed.error.code is ErrorCode.WORKER_LOST


def test_who_merely_ran_beside_a_poisonous_job_is_not_blamed(make_runtime, stores, submit, in_background, lose):
    """Both were on the first worker; on the second the suspect runs alone, whatever else there is to do."""
    poison, innocent, fresh = submit("Poison."), submit("Innocent."), submit("Fresh.")
    first, second, survivor = (make_runtime(name=name) for name in ("first", "second", "survivor"))
    doomed = [first, second]
    first.engine.gate.clear()
    for job in (poison, innocent):
        in_background(first.synthesize, job.id)
    eventually(lambda: len(first.engine.submitted) == 2)
    lose(first)
    assert set(survivor.sweep().requeued) == {poison.id, innocent.id}

    second.engine.gate.clear()
    in_background(second.synthesize, poison.id)
    eventually(lambda: len(second.engine.submitted) == 1)
    for job in (innocent, fresh):
        in_background(second.synthesize, job.id)
    eventually(lambda: len(second._company._waiting) == 2)
    assert [stores.jobs.get(job.id).status for job in (innocent, fresh)] == ["queued", "queued"]
    lose(second)
    swept = survivor.sweep()

    assert swept.given_up == (poison.id,)
    for job in (innocent, fresh):
        survivor.synthesize(job.id)
    assert [stores.jobs.get(job.id).status for job in (poison, innocent, fresh)] == ["failed", "done", "done"]
    for worker in doomed:
        worker.engine.gate.set()


def test_a_draining_worker_claims_nothing_that_waited_for_its_turn(make_runtime, stores, submit, in_background):
    worker = make_runtime()
    job = submit()
    with worker._company.alone():
        task = in_background(worker.synthesize, job.id)
        eventually(lambda: worker._company._waiting)
        worker.begin_drain()
    task.join(10)
    assert stores.jobs.get(job.id).status is JobStatus.QUEUED
    assert worker.engine.submitted == []


def test_a_worker_whose_lease_was_lost_stops_computing(make_runtime, stores, submit, in_background, lose):
    cut_off, other = make_runtime(name="cut-off"), make_runtime(name="other")
    cut_off.engine.gate.clear()
    job = submit()
    task = in_background(cut_off.synthesize, job.id)
    eventually(lambda: cut_off.engine.submitted)
    lose(cut_off)  # it hears nothing for a while …
    other.sweep()
    other.synthesize(job.id)

    cut_off.line.thaw()  # … and now learns that the job is another's
    task.join(10)

    assert not task.is_alive()
    assert stores.jobs.get(job.id).worker == "other"


def test_a_queued_job_whose_message_was_lost_is_sent_again(runtime, submit, sent, clock, settings):
    job = submit()
    clock.turn(settings.jobs.resend_after_s + 1)

    runtime.sweep()
    runtime.sweep()

    assert sent.count((TaskName.SYNTHESIZE, job.id)) == 1


def test_a_job_that_waits_while_a_thread_is_free_is_sent_again_soon(make_runtime, submit, sent, clock, settings):
    """Its message went with a process that had taken it, or with the broker."""
    runtime = make_runtime()
    job = submit()
    clock.turn(4)
    runtime.sweep()
    assert sent == [], "a worker that still loads takes no messages"

    runtime.presence.is_ready(runtime.engine.capabilities, runtime.engine.revision)
    with ExitStack() as threads:
        for n in range(settings.jobs.concurrency):
            threads.enter_context(runtime._deliveries.of(f"job_{n}"))
        runtime.sweep()
        assert sent == [], "there is none free: it waits its turn"
    runtime.sweep()
    assert sent == [(TaskName.SYNTHESIZE, job.id)]


def test_a_message_that_a_dead_process_had_taken_is_sent_again_at_word_of_its_end(make_runtime, stores, submit, sent):
    """It waited there for its turn, so its job was not claimed yet."""
    survivor = make_runtime(name="survivor")
    job = submit()
    survivor.sweep_buried()
    assert sent == []
    bury(stores, "killed", os.getpid())
    survivor.sweep_buried()
    survivor.sweep_buried()
    assert sent == [(TaskName.SYNTHESIZE, job.id)]


def test_who_lets_a_lease_run_out_may_have_taken_messages_too(make_runtime, submit, sent, in_background, lose):
    stopped, survivor = make_runtime(name="stopped"), make_runtime(name="survivor")
    stopped.engine.gate.clear()
    held, taken = submit("Held."), submit("Taken.")
    in_background(stopped.synthesize, held.id)
    eventually(lambda: stopped.engine.submitted)
    lose(stopped)
    survivor.sweep()
    assert {job_id for _, job_id in sent} == {held.id, taken.id}
    stopped.engine.gate.set()


def test_what_a_dead_process_held_is_brought_back_at_word_of_its_end(make_runtime, stores, submit, sent, in_background):
    patient = Settings(jobs=JobSettings(heartbeat_s=3600, worker_ttl_s=10_800, sweep_s=3600))
    killed, survivor = make_runtime(name="killed"), make_runtime(name="survivor", settings=patient)
    killed.engine.gate.clear()
    job = submit()
    in_background(killed.synthesize, job.id)
    eventually(lambda: killed.engine.submitted)
    killed.line.freeze()
    survivor._events.start()
    survivor.housekeeping.start()

    bury(stores, "killed", os.getpid())

    eventually(lambda: sent == [(TaskName.SYNTHESIZE, job.id)])
    survivor._events.stop()
    survivor.housekeeping.stop()
    killed.engine.gate.set()


def test_a_voice_left_preparing_is_sent_again_and_given_up_in_the_end(runtime, stores, voice, sent, clock, settings):
    clock.turn(settings.jobs.resend_after_s + 1)
    runtime.sweep()
    runtime.sweep()
    assert sent == [(TaskName.PREPARE_VOICE, voice.id)]

    clock.turn(3600)
    runtime.sweep()

    given_up: Voice = stores.voices.get(voice.id)
    assert given_up.status is VoiceStatus.FAILED
    assert given_up.error.code is ErrorCode.WORKER_LOST


def test_a_voice_that_stays_preparing_is_sent_ever_more_seldom_and_not_by_who_just_began(
    runtime, make_runtime, stores, voice, sent, clock, settings
):
    """It may be what takes workers down."""
    ages = []
    for age_s in range(10, 600, 10):
        clock.turn(10)
        runtime.sweep()
        if sent:
            ages.append(age_s)
            sent.clear()
        make_runtime(name=f"restarted{age_s}").sweep() if age_s in {100, 200} else None
    assert sent == []
    after_s = settings.jobs.resend_after_s
    assert [round(age_s / after_s, 1) for age_s in ages] == [1.3, 2.0, 4.0, 8.0, 16.0]


def test_a_job_that_ended_long_ago_leaves_neither_record_nor_audio(runtime, stores, submit, clock, settings):
    job = submit()
    runtime.synthesize(job.id)
    blob = stores.jobs.get(job.id).result.audio_blob
    assert stores.blobs.exists(blob)

    clock.turn(settings.jobs.keep_s + 1)
    runtime.sweep()

    assert not stores.blobs.exists(blob)
    assert stores.jobs.get(job.id) is None
    assert stores.jobs.list().jobs == ()
