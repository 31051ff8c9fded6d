"""The audio cache under eight writers at once, and what it costs when its Redis is away."""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
import redis

from contract.redis_keys import RedisKeys
from contract.schemas import AudioFormat
from contract.stores import connection
from contract.stores.interfaces import CachedAudio
from contract.stores.opening import open_stores

WRITERS, PUTS, BUDGET, LARGEST = 8, 150, 40_000, 4_000
HELD = """local sum = 0
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  if redis.call('TYPE', key).ok == 'string' then sum = sum + redis.call('STRLEN', key) end
end
return sum"""


def mp3(size: int, voice_id: str = "alice") -> CachedAudio:
    return CachedAudio(bytes(size), voice_id, AudioFormat.MP3, duration_s=1.0, sample_rate=24_000)


PATIENCE_S = 60.0


@pytest.fixture
def small(redis_settings, monkeypatch):
    """A small cache whose Redis is waited for, as no request would wait.

    On a machine that stands still for more than a second the cache rightly gives its Redis up: not what is asked here.
    """
    monkeypatch.setattr(connection, "BRIEFLY_S", PATIENCE_S)
    waited = replace(redis_settings.redis, timeout_s=PATIENCE_S, connect_timeout_s=PATIENCE_S)
    redis_settings = replace(redis_settings, redis=waited)
    return replace(redis_settings, cache=replace(redis_settings.cache, max_bytes=BUDGET))


@pytest.mark.redis
def test_eight_writers_never_hold_more_than_the_budget(small):
    """Counted from outside, in Redis itself, while they write."""
    stop, held = threading.Event(), []

    def count() -> None:
        with redis.Redis.from_url(small.redis.url) as client:
            while not stop.is_set():
                held.append(client.eval(HELD, 0, RedisKeys().audio("*")))

    def write(number: int) -> None:
        cache, dice = open_stores(small).audio_cache, random.Random(number)
        for n in range(PUTS):
            assert cache.put(f"w{number}-{n % 40}", mp3(dice.randint(500, LARGEST), voice_id=f"v{number}"))
            cache.get(f"w{dice.randrange(WRITERS)}-{dice.randrange(40)}")
        cache.stats()  # writes down what this process looked at last

    counting = threading.Thread(target=count)
    counting.start()
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    stop.set()
    counting.join()

    assert len(held) > 20
    assert BUDGET - LARGEST < max(held) <= BUDGET
    stats = open_stores(small).audio_cache.stats()
    assert stats.size_bytes == held_now(small)
    assert stats.evictions > 0
    assert stats.hits + stats.misses == WRITERS * PUTS


def held_now(settings) -> int:
    with redis.Redis.from_url(settings.redis.url) as client:
        return int(client.eval(HELD, 0, RedisKeys().audio("*")))


@pytest.mark.redis
def test_eight_writers_at_once_and_still_the_least_recently_used_goes_first(small):
    """Exact to one entry: Redis's own record of what it ran, call by call, is replayed in a model of the order.

    A use is what was written as one: a process writes its looks before it puts anything in, and after a moment.
    """
    cache = open_stores(small).audio_cache
    cache.put("warm", mp3(1))
    cache.get("warm")
    cache.stats()
    cache.purge()  # all scripts are loaded: each call is one line of the record
    with redis.Redis.from_url(small.redis.url) as client, client.monitor() as record:

        def write(number: int) -> None:
            mine, dice = open_stores(small).audio_cache, random.Random(number)
            for _ in range(PUTS):
                audio = replace(mp3(0), data=b"x" * dice.randint(500, LARGEST))
                assert mine.put(f"f{dice.randrange(60)}", audio)
                mine.get(f"f{dice.randrange(60)}")
            mine.stats()  # writes down what this process looked at last

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write, range(WRITERS)))
        client.echo("all written")
        calls, erased = replayed_from(record)
        left = [name.decode() for name in client.zrange(RedisKeys().audio_used(), 0, -1)]

    model: OrderedDict[str, int] = OrderedDict()
    expected = []
    for _, name, size in calls:
        if size is None:
            if name in model:
                model.move_to_end(name)
            continue
        if model.pop(name, None) is not None:
            expected.append(name)
        while sum(model.values()) + size > BUDGET:
            expected.append(model.popitem(last=False)[0])
        model[name] = size

    assert sum(size is not None for _, _, size in calls) == WRITERS * PUTS
    assert sum(size is None for _, _, size in calls) > WRITERS * PUTS / 20
    writers = [writer for writer, _, _ in calls]
    assert sum(one != other for one, other in pairwise(writers)) > len(calls) / 2, "they hardly met"
    assert len(expected) > WRITERS * PUTS / 2
    assert erased == expected
    assert left == list(model)


def replayed_from(record) -> tuple[list[tuple[str, str, int | None]], list[str]]:
    """What was done in its order, (connection, name, bytes put or None for a use), and the names erased, in theirs."""
    calls: list[tuple[str, str, int | None]] = []
    erased: list[str] = []
    start = RedisKeys().audio("")
    for line in record.listen():
        words = line["command"].split(" ")
        if words[0] == "ECHO":
            return calls, erased
        if words[0] == "EVALSHA":  # sha, count of keys, four keys, then what the script is given
            name, given = words[7], words[12:]
            if name and len(given) > 1:
                calls.append((line["client_port"], name, len(given[0])))
            elif not name:
                uses = zip(given[::2], given[1::2], strict=True)
                calls += [(line["client_port"], used, None) for is_hit, used in uses if is_hit == "1"]
        elif words[0] == "DEL" and line["client_type"] == "lua":
            erased.append(words[1].removeprefix(start))
    raise AssertionError("the record broke off")


@pytest.mark.redis
def test_an_index_erased_by_hand_does_not_take_the_room_for_ever(small):
    cache = open_stores(small).audio_cache
    for n in range(10):
        cache.put(f"f{n}", mp3(LARGEST))
    keys = RedisKeys()
    with redis.Redis.from_url(small.redis.url) as client:
        client.delete(keys.audio_used(), keys.audio_sizes(), keys.audio_expiry())
    for n in range(10):
        cache.put(f"g{n}", mp3(LARGEST))

    assert cache.stats().size_bytes == 10 * LARGEST
    assert cache.stats().entries == 10


def test_entries_are_listed_in_the_order_they_will_go_and_looking_is_no_use(stores):
    for name, voice in (("a", "anna"), ("b", "bob"), ("c", "anna")):
        stores.audio_cache.put(name, mp3(1000, voice))
    stores.audio_cache.get("a")
    before = stores.audio_cache.stats()

    listed = stores.audio_cache.entries()

    assert [(e.fingerprint, e.voice_id, e.size_bytes, e.hits) for e in listed] == [
        ("b", "bob", 1000, 0),
        ("c", "anna", 1000, 0),
        ("a", "anna", 1000, 1),
    ]
    assert [e.fingerprint for e in stores.audio_cache.entries(limit=2)] == ["b", "c"]
    assert stores.audio_cache.stats() == before


def test_a_purge_leaves_nothing_but_the_counts(stores):
    for n in range(250):
        stores.audio_cache.put(f"f{n}", mp3(10))
    stores.audio_cache.get("f1")

    assert stores.audio_cache.purge() == 250

    stats = stores.audio_cache.stats()
    assert (stats.entries, stats.size_bytes, stats.hits) == (0, 0, 1)
    assert stores.audio_cache.purge() == 0


@pytest.mark.redis
def test_a_purge_leaves_no_key_but_the_counts(small):
    cache = open_stores(small).audio_cache
    for n in range(5):
        cache.put(f"f{n}", mp3(10))
    cache.purge()
    with redis.Redis.from_url(small.redis.url, decode_responses=True) as client:
        assert list(client.scan_iter()) == [RedisKeys().audio_stats()]


@pytest.mark.redis
def test_a_redis_that_hangs_slows_one_request_and_not_one_after_another(own_redis, settings):
    """The cache on a Redis of its own that stops answering: each miss is counted, few are waited for."""
    hung = replace(settings, cache=replace(settings.cache, redis_url=own_redis.url))
    cache = open_stores(hung).audio_cache
    assert cache.put("f", mp3(10))
    own_redis.freeze()
    try:
        began = time.monotonic()
        found = [cache.get("f") for _ in range(50)]
        spent_s = time.monotonic() - began
    finally:
        own_redis.thaw()
    assert found == [None] * 50
    assert cache.stats().unavailable >= 50
    assert spent_s < 10, "50 answers of the server's 5 s each would be minutes"
