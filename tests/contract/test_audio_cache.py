"""Finished audio by fingerprint: one suite over memory and Redis, and what only Redis can show."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from contract import redis_keys
from contract.errors import ErrorCode, ServiceError
from contract.redis_keys import RedisKeys
from contract.schemas import AudioFormat
from contract.stores.interfaces import CachedAudio
from contract.stores.memory import MemoryAudioCache
from contract.stores.opening import open_stores


def audio(data: bytes = b"RIFF" * 100, **changes) -> CachedAudio:
    values = {"voice_id": "alice", "audio_format": AudioFormat.WAV, "duration_s": 1.25, "sample_rate": 24_000}
    return CachedAudio(data=data, **{**values, **changes})


def mp3(size: int, voice_id: str = "alice") -> CachedAudio:
    return audio(bytes(size), audio_format=AudioFormat.MP3, voice_id=voice_id)


def test_what_was_put_in_comes_out_with_what_is_known_of_it(stores, clock):
    assert stores.audio_cache.get("f") is None
    assert stores.audio_cache.put("f", audio(seed=7))
    assert stores.audio_cache.get("f") == audio(seed=7, created_at=clock.now_s, hits=1)
    assert stores.audio_cache.get("f").hits == 2
    stats = stores.audio_cache.stats()
    assert (stats.hits, stats.misses, stats.entries, stats.hit_ratio) == (2, 1, 1, 2 / 3)


def test_an_entry_lives_for_its_time(stores, clock, settings):
    stores.audio_cache.put("f", audio())
    clock.advance(settings.cache.ttl_s - 1)
    assert stores.audio_cache.get("f") is not None
    clock.advance(1)
    assert stores.audio_cache.get("f") is None
    stats = stores.audio_cache.stats()
    assert (stats.expired, stats.entries, stats.size_bytes) == (1, 0, 0)


def test_deleting_a_voice_erases_its_audio_and_no_other(stores):
    stores.audio_cache.put("a1", audio())
    stores.audio_cache.put("a2", audio())
    stores.audio_cache.put("b1", audio(voice_id="bob"))
    assert stores.audio_cache.delete_voice("alice") == 2
    assert stores.audio_cache.get("a1") is None
    assert stores.audio_cache.get("b1") is not None
    assert stores.audio_cache.delete_voice("alice") == 0


def test_a_deleted_entry_is_gone_and_its_bytes_with_it(stores):
    stores.audio_cache.put("f", audio())
    assert stores.audio_cache.delete("f")
    assert not stores.audio_cache.delete("f")
    assert stores.audio_cache.stats().size_bytes == 0


@pytest.mark.redis
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(1, 110)), min_size=1, max_size=40))
def test_the_least_recently_used_go_first_and_the_budget_holds(redis_settings, clock, script):
    """Against a model: put(name, size) or get(name); which names are held is the same after every call."""
    with redis.Redis.from_url(redis_settings.redis.url) as client:
        client.flushall()
    limits = replace(redis_settings.cache, max_bytes=100)
    apart = replace(redis_settings.redis, prefix="lru")  # the last looks of other tests may still be on their way
    cache = open_stores(replace(redis_settings, cache=limits, redis=apart), clock=clock).audio_cache
    twin = MemoryAudioCache(clock=clock, ttl_s=limits.ttl_s, max_bytes=100)
    model: OrderedDict[str, int] = OrderedDict()
    for name, size in script:
        if size is None:
            held = cache.get(name) is not None
            assert held == (name in model) == (twin.get(name) is not None)
            if held:
                model.move_to_end(name)
        else:
            assert cache.put(name, mp3(size)) == twin.put(name, mp3(size)) == (size <= 100)
            if size <= 100:
                model.pop(name, None)
                model[name] = size
                while sum(model.values()) > 100:
                    model.popitem(last=False)
        stats = cache.stats()
        assert stats.size_bytes == sum(model.values()) <= 100
        assert stats.entries == len(model)
        assert twin.stats() == stats


@pytest.mark.redis
def test_a_person_can_read_an_entry_with_redis_cli(redis_settings, clock):
    cache = open_stores(redis_settings, clock=clock).audio_cache
    cache.put("f", audio())
    keys = RedisKeys()
    with redis.Redis.from_url(redis_settings.redis.url, decode_responses=True) as client:
        about = client.hgetall(keys.audio_about("f"))
        assert about["voice"] == "alice"
        assert about["format"] == "wav"
        assert about["seconds"] == "1.250"
        assert about["audio_bytes"] == "400"
        assert int(about["bytes"]) == client.strlen(keys.audio("f")) < 400, "wav is compressed"
        assert 0 < client.ttl(keys.audio("f")) <= redis_settings.cache.ttl_s


@pytest.mark.redis
def test_what_does_not_compress_is_kept_as_it_is(redis_settings, clock):
    """Each hit would unpack it for next to nothing."""
    cache, noise = open_stores(redis_settings, clock=clock).audio_cache, random.Random(1).randbytes(4000)
    cache.put("noise", audio(noise))
    with redis.Redis.from_url(redis_settings.redis.url, decode_responses=True) as client:
        assert client.hget(RedisKeys().audio_about("noise"), "encoding") == "identity"
    assert cache.get("noise").data == noise


@pytest.mark.redis
def test_an_entry_the_server_took_away_is_a_miss_and_its_bytes_are_forgotten(redis_settings, clock):
    cache = open_stores(redis_settings, clock=clock).audio_cache
    cache.put("f", audio())
    with redis.Redis.from_url(redis_settings.redis.url) as client:
        client.delete(RedisKeys().audio("f"))
    assert cache.get("f") is None
    assert cache.stats().size_bytes == 0


@pytest.mark.redis
def test_every_key_the_stores_write_is_in_the_table(redis_settings, clock, new_job, new_voice):
    """Names in redis_keys.py's table, with ids replaced; and each that should expire does."""
    stores = open_stores(redis_settings, clock=clock)
    job = stores.jobs.create(new_job(fingerprint="fp", idempotency_key="k")).job
    stores.jobs.claim(job.id, worker="w", lease_s=5)
    stores.voices.create(new_voice())
    stores.audio_cache.put("fp", audio())
    lines = (redis_keys.__doc__ or "").splitlines()
    table = [line.split("|")[1].strip().strip("`") for line in lines if line.startswith("| `")]
    placeholders = {
        "{job_id}": job.id,
        "{status}": "running",
        "{priority}": "interactive",
        "{fingerprint}": "fp",
        "{voice_id}": "alice",
    }
    for name, value in placeholders.items():
        table = [row.replace(name, value) for row in table]
    with redis.Redis.from_url(redis_settings.redis.url, decode_responses=True) as client:
        found = {key.removeprefix("megatts3:1:") for key in client.scan_iter()}
    unexplained = {k for k in found if k not in table and not k.startswith("idempotency:")}
    assert unexplained == set()


def test_with_redis_away_the_cache_misses_and_counts_it(settings):
    away = replace(settings.redis, url="redis://127.0.0.1:1", connect_timeout_s=0.2)
    cache = open_stores(replace(settings, redis=away)).audio_cache
    assert cache.get("f") is None
    assert not cache.put("f", audio())
    assert cache.stats().unavailable >= 2
    with pytest.raises(ServiceError) as caught:
        cache.delete_voice("alice")
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE


def test_with_redis_away_the_job_store_says_so(settings, new_job):
    away = replace(settings.redis, url="redis://127.0.0.1:1", connect_timeout_s=0.2)
    stores = open_stores(replace(settings, redis=away))
    for call in (lambda: stores.jobs.create(new_job()), stores.jobs.depth, stores.workers.list):
        with pytest.raises(ServiceError) as caught:
            call()
        assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
        assert caught.value.retry_after_s


@pytest.mark.redis
def test_a_listener_survives_a_restart_of_redis(own_redis, settings, new_voice, wait):
    used = replace(settings.redis, url=own_redis.url)
    stores = open_stores(replace(settings, redis=used))
    stop, heard = threading.Event(), []
    thread = threading.Thread(target=lambda: [heard.append(e.kind.value) for e in stores.events.listen(stop)])
    thread.start()
    try:
        wait(lambda: heard == ["resync"], "the first subscription stands")
        own_redis.stop()
        own_redis.start()
        wait(lambda: heard == ["resync", "resync"], "the second subscription stands")
        stores.voices.create(new_voice())
        wait(lambda: heard[2:] == ["voice"], "the change is heard")
    finally:
        stop.set()
        thread.join()
