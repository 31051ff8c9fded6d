"""Questions and answers about plans: the same over memory and Redis."""

import threading
import time

import pytest
import redis

from contract.errors import ErrorCode, ErrorInfo
from contract.redis_keys import RedisKeys
from contract.stores.interfaces import EventKind
from contract.stores.memory import MemoryEvents
from contract.stores.memory_plans import MemoryPlanBoard
from contract.stores.plans import ANSWER_KEPT_S, PlanAnswer
from contract.stores.redis_events import RedisEvents
from contract.stores.redis_plans import RedisPlanBoard

KEYS = RedisKeys("plan-test")


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def board_and_events(request):
    if request.param == "memory":
        events = MemoryEvents()
        yield MemoryPlanBoard(events, clock=time.time), events
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisPlanBoard(client, KEYS), RedisEvents(client, KEYS)
        client.flushall()


@pytest.fixture
def board(board_and_events):
    return board_and_events[0]


def test_a_question_is_read_as_it_was_asked(board, new_job):
    job = new_job(owner="key1", reference_audio_blob="jobs/plan_1/reference")

    board.ask(job, ttl_s=60)

    assert board.asked(job.id) == job
    assert board.answered(job.id) is None


@pytest.mark.parametrize(
    "answer",
    [
        PlanAnswer(plan={"normalized_text": "你好", "segments": [{"phones": ["C0n"], "tones": ["3"]}]}),
        PlanAnswer(error=ErrorInfo(ErrorCode.INVALID_VALUE, "nothing to say")),
    ],
)
def test_an_answer_is_read_as_it_was_given(board, new_job, answer):
    job = new_job()
    board.ask(job, ttl_s=60)

    board.answer(job.id, answer)

    assert board.answered(job.id) == answer


def test_a_withdrawn_question_is_gone_with_its_answer(board, new_job):
    job = new_job()
    board.ask(job, ttl_s=60)
    board.answer(job.id, PlanAnswer(plan={}))

    board.withdraw(job.id)

    assert board.asked(job.id) is None
    assert board.answered(job.id) is None


def test_a_question_is_forgotten_by_itself(board, new_job):
    job = new_job()
    board.ask(job, ttl_s=0.05)
    deadline = time.monotonic() + 5

    while board.asked(job.id) is not None:
        assert time.monotonic() < deadline


def test_an_answer_is_announced(board_and_events):
    board, events = board_and_events
    stop = threading.Event()
    listening = events.listen(stop)
    assert next(listening).kind is EventKind.RESYNC

    board.answer("plan_1", PlanAnswer(plan={}))

    heard = next(listening)
    stop.set()
    assert (heard.kind, heard.id) == (EventKind.PLAN, "plan_1")


@pytest.mark.redis
def test_nothing_stays_in_redis_for_longer_than_minutes(redis_url, new_job):
    with redis.Redis.from_url(redis_url) as client:
        board, job = RedisPlanBoard(client, KEYS), new_job()
        board.ask(job, ttl_s=225)
        assert 0 < client.pttl(KEYS.plan(job.id)) <= 225_000
        board.answer(job.id, PlanAnswer(plan={}))
        board.answer("withdrawn", PlanAnswer(plan={}))

        left_ms = [client.pttl(key) for key in client.keys("plan-test:*")]
        client.flushall()

    assert len(left_ms) == 2
    assert all(0 < left <= ANSWER_KEPT_S * 1000 for left in left_ms)
