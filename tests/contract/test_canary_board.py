"""Where the canary's verdict hangs: the same over memory and Redis."""

import time

import pytest
import redis

from contract.canary import CanaryVerdict
from contract.redis_keys import RedisKeys
from contract.stores.memory import MemoryCanaryBoard
from contract.stores.redis_canary import RedisCanaryBoard


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def board(request):
    if request.param == "memory":
        yield MemoryCanaryBoard(clock=time.time)
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisCanaryBoard(client, RedisKeys("canary-test"))
        client.flushall()


VERDICT = CanaryVerdict(False, 1_800_000_000.25, 1.5, 2, 7, "noise", "worker0@host", {"level_db": -20.5})


def test_what_is_posted_is_read_back(board):
    assert board.read() is None

    board.post(VERDICT, ttl_s=60)

    assert board.read() == VERDICT
    assert board.read().speech_is_bad


def test_a_verdict_is_gone_after_its_time(board):
    board.post(VERDICT, ttl_s=0.05)
    deadline = time.monotonic() + 5
    while board.read() is not None:
        assert time.monotonic() < deadline


def test_a_turn_is_taken_by_one(board):
    assert board.take_turn(for_s=60)
    assert not board.take_turn(for_s=60)
