"""What a process keeps of the audio it answered with: bounded, and never an answer of its own."""

import redis

from contract.redis_keys import RedisKeys
from contract.schemas import AudioFormat
from contract.stores.interfaces import CachedAudio
from contract.stores.opening import open_stores
from contract.stores.recent_audio import Recent, RecentAudio

PCM = bytes(n // 100 % 7 for n in range(20_000))


def audio(data: bytes) -> CachedAudio:
    return CachedAudio(data, "alice", AudioFormat.WAV, 1.0, 24_000, created_at=0.0)


def test_no_more_is_kept_than_may_be_and_the_least_recently_used_go_first():
    kept = RecentAudio(most_bytes=100)
    for name in "abcd":
        kept.keep(name, Recent("1", bytes(25)))
    kept.get("a")

    kept.keep("e", Recent("1", bytes(25)))
    kept.keep("large", Recent("1", bytes(26)))

    assert [name for name in ("a", "b", "c", "d", "e", "large") if kept.get(name)] == ["a", "c", "d", "e"]


def test_an_entry_kept_twice_counts_once():
    kept = RecentAudio(most_bytes=100)
    for _ in range(9):
        kept.keep("a", Recent("1", bytes(25)))
    kept.keep("b", Recent("1", bytes(25)))

    assert kept.get("a") is not None


def test_a_second_hit_is_the_same_and_fetches_no_bytes(redis_settings, clock):
    writer, reader = (open_stores(redis_settings, clock=clock).audio_cache for _ in range(2))
    writer.put("f", audio(PCM))
    first = reader.get("f")

    with redis.Redis.from_url(redis_settings.redis.url) as client:
        client.set(RedisKeys().audio("f"), b"not zstd", keepttl=True)  # who fetches this sees a miss
        again = reader.get("f")

        assert writer.get("f") is None
    assert first is not None
    assert again is not None
    assert (first.data, again.data) == (PCM, PCM)
    assert again.hits == first.hits + 1


def test_what_is_erased_replaced_or_expired_elsewhere_is_no_longer_answered(redis_settings, clock):
    writer, reader = (open_stores(redis_settings, clock=clock).audio_cache for _ in range(2))
    for end in (lambda: writer.delete("f"), lambda: writer.delete_voice("alice"), writer.purge):
        writer.put("f", audio(PCM))
        assert reader.get("f") is not None
        end()
        assert reader.get("f") is None

    writer.put("f", audio(PCM))
    assert reader.get("f") is not None
    clock.advance(1)
    writer.put("f", audio(PCM[::-1]))
    found = reader.get("f")
    assert found is not None
    assert found.data == PCM[::-1]

    clock.advance(redis_settings.cache.ttl_s + 1)
    assert reader.get("f") is None


def test_bytes_that_went_away_by_hand_are_a_miss_although_they_are_kept_here(redis_settings, clock):
    cache = open_stores(redis_settings, clock=clock).audio_cache
    cache.put("f", audio(PCM))
    assert cache.get("f") is not None
    with redis.Redis.from_url(redis_settings.redis.url) as client:
        client.delete(RedisKeys().audio("f"))

    assert cache.get("f") is None


def test_an_entry_of_another_version_that_cannot_be_read_is_a_miss(redis_settings, clock):
    """As after an upgrade: its bytes must not be sent as if they were sound."""
    writer, reader = (open_stores(redis_settings, clock=clock).audio_cache for _ in range(2))
    writer.put("f", audio(PCM))
    with redis.Redis.from_url(redis_settings.redis.url) as client:
        client.hset(RedisKeys().audio_about("f"), "encoding", "zlib")

        assert reader.get("f") is None
