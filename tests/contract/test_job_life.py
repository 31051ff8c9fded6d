"""Any order of calls: both stores agree, an end state is final, one outcome wins, tokens only rise."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import AudioFormat, Job, JobResult, JobStatus, Priority, SpeechRequest
from contract.stores.memory import memory_stores
from contract.stores.opening import open_stores

pytestmark = pytest.mark.redis

JOBS = ("job_a", "job_b", "job_c", "job_d")
FAILURE = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no")
LATE = ErrorInfo(ErrorCode.DEADLINE_EXCEEDED, "late")
RESULT = JobResult("jobs/x/audio.wav", AudioFormat.WAV, 1.0, 24_000, 10, 0.5)
jobs = st.sampled_from(JOBS)
tokens = st.integers(0, 6)
calls = st.one_of(
    st.tuples(
        st.just("create"),
        jobs,
        st.sampled_from([None, "f1", "f1", "f2"]),
        st.sampled_from(list(Priority)),
        st.sampled_from([None, 4.0, 30.0]),
    ),
    st.tuples(st.sampled_from(["claim", "request_cancel", "requeue", "delete", "withdraw"]), jobs),
    st.tuples(st.sampled_from(["queue_position", "leader", "keeps_files"]), jobs),
    st.tuples(st.sampled_from(["heartbeat", "finish", "fail", "late", "cancelled", "release"]), jobs, tokens),
    st.tuples(st.just("bury"), st.booleans()),
    st.tuples(st.just("advance"), st.sampled_from([1.0, 5.0, 11.0])),
    st.tuples(st.sampled_from(["expired", "resend_due", "doubt", "depth"])),
)


class Player:
    """Plays calls on a store; answers are made comparable."""

    def __init__(self, stores, clock):
        self.jobs = stores.jobs
        self.clock = clock

    def play(self, call):
        name, *rest = call
        return getattr(self, f"_{name}", self._other)(*rest) if name != "advance" else None

    def _create(self, job_id, fingerprint, priority, time_s):
        request = SpeechRequest(text="x")
        deadline_at = None if time_s is None else self.clock() + time_s
        job = Job(
            id=job_id,
            request=request,
            fingerprint=fingerprint,
            priority=priority,
            estimate_s=0.333,
            deadline_at=deadline_at,
        )
        return self.jobs.create(job)

    def _claim(self, job_id):
        return self.jobs.claim(job_id, worker="w", lease_s=10)

    def _heartbeat(self, job_id, token):
        return self.jobs.heartbeat(job_id, token, lease_s=10)

    def _finish(self, job_id, token):
        return self.jobs.finish(job_id, token, RESULT)

    def _fail(self, job_id, token):
        return self.jobs.fail(job_id, token, FAILURE)

    def _late(self, job_id, token):
        return self.jobs.fail(job_id, token, LATE)

    def _cancelled(self, job_id, token):
        return self.jobs.cancelled(job_id, token)

    def _release(self, job_id, token):
        return self.jobs.release(job_id, token)

    def _request_cancel(self, job_id):
        return self.jobs.request_cancel(job_id)

    def _requeue(self, job_id):
        return self.jobs.requeue(job_id)

    def _delete(self, job_id):
        return self.jobs.delete(job_id)

    def _withdraw(self, job_id):
        return self.jobs.withdraw(job_id)

    def _leader(self, job_id):
        return self.jobs.leader(job_id)

    def _keeps_files(self, job_id):
        return self.jobs.keeps_files(job_id)

    def _queue_position(self, job_id):
        return self.jobs.queue_position(job_id)

    def _bury(self, is_it):
        return self.jobs.bury("w", os.getpid() if is_it else 1)

    def _expired(self):
        return sorted(self.jobs.expired()), sorted(self.jobs.expired(buried_only=True))

    def _resend_due(self):
        return sorted(job.id for job in self.jobs.resend_due(older_than_s=7))

    def _doubt(self):
        return self.jobs.doubt_messages(older_than_s=3, limit=2)

    def _depth(self):
        return self.jobs.depth()

    def _other(self, *rest):
        raise AssertionError(rest)


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(calls, max_size=40))
def test_both_stores_answer_alike_and_no_job_leaves_an_end_state(redis_settings, script):
    clock = type("Clock", (), {"now_s": 1_800_000_000.0, "__call__": lambda self: self.now_s})()
    Player.count = getattr(Player, "count", 0) + 1
    own_keys = replace(redis_settings.redis, prefix=f"life{Player.count}")
    memory = Player(memory_stores(redis_settings, clock=clock), clock)
    real = Player(open_stores(replace(redis_settings, redis=own_keys), clock=clock), clock)
    ended: dict[str, JobStatus] = {}
    made: dict[str, int] = {}  # an id is random: no later job has it
    last_token = 0
    for name, *rest in script:
        if name == "create" and memory.jobs.get(_now(rest[0], made)) is None:
            made[rest[0]] = made.get(rest[0], 0) + 1
        call = (name, *(_now(part, made) if part in JOBS else part for part in rest))
        clock.now_s += call[1] if call[0] == "advance" else 0.125  # exact in a float and in six decimals
        answer = memory.play(call)
        assert real.play(call) == answer, call
        if call[0] in {"delete", "withdraw"} and answer:
            ended.pop(call[1], None)
        if call[0] == "claim" and answer is not None:
            assert answer.token > last_token
            last_token = answer.token
        for job_id in (_now(name, made) for name in JOBS):
            job = memory.jobs.get(job_id)
            assert real.jobs.get(job_id) == job
            if job_id in ended:
                assert job.status is ended[job_id]
            elif job is not None and job.status.is_terminal:
                ended[job_id] = job.status
    depth = real.jobs.depth()
    assert depth == memory.jobs.depth()
    found = real.jobs.list().jobs
    waiting = [job for job in found if job.status is JobStatus.QUEUED and not job.follows]
    assert depth.queued_audio_s == pytest.approx(0.333 * len(waiting))
    assert {job.id for job in found} == {job.id for job in memory.jobs.list().jobs}


def _now(name: str, made: dict[str, int]) -> str:
    return f"{name}{made.get(name, 0)}"
