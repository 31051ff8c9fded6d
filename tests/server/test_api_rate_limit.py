"""The token bucket, and the limit as a client meets it."""

import dataclasses
from collections.abc import Iterator

import pytest
import redis
from api_service import Build, FakeWorker, unlimited
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from contract.settings import RateLimitSettings, Settings
from contract.stores.connection import connect
from contract.stores.memory import memory_stores
from megatts3_server.app import Links, create_app
from megatts3_server.rate_limit import Limits
from megatts3_server.token_bucket import Bucket, Buckets, MemoryBuckets, RedisBuckets, Take

BUCKET = Bucket(capacity=10, refill_per_s=0.5)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def buckets(request: pytest.FixtureRequest) -> Iterator[Buckets]:
    if request.param == "memory":
        yield MemoryBuckets()
        return
    with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        client.flushall()
        yield RedisBuckets(client)
        client.flushall()


def test_a_full_bucket_gives_its_burst_and_then_says_when_the_next_is_there(buckets: Buckets):
    answers = [buckets.take("k", BUCKET, cost=1) for _ in range(11)]

    assert [a.allowed for a in answers] == [True] * 10 + [False]
    assert 1.0 < answers[-1].wait_s <= 2.0  # half a token a second


def test_keys_have_buckets_of_their_own(buckets: Buckets):
    for _ in range(10):
        buckets.take("a", BUCKET, cost=1)

    assert buckets.take("b", BUCKET, cost=1).allowed
    assert not buckets.take("a", BUCKET, cost=1).allowed


def test_on_credit_a_take_is_allowed_and_its_wait_told(buckets: Buckets):
    for _ in range(10):
        buckets.take("k", BUCKET, cost=1)

    lent = buckets.take("k", BUCKET, cost=1, max_wait_s=5)
    next_ = buckets.take("k", BUCKET, cost=1, max_wait_s=5)

    assert (lent.allowed, next_.allowed) == (True, True)
    assert lent.wait_s == pytest.approx(2, abs=1.5)
    assert next_.wait_s == pytest.approx(4, abs=1.5)
    assert not buckets.take("k", BUCKET, cost=1, max_wait_s=5).allowed


def test_a_refused_take_costs_nothing(buckets: Buckets):
    for _ in range(10):
        buckets.take("k", BUCKET, cost=1)
    waits = [buckets.take("k", BUCKET, cost=1).wait_s for _ in range(20)]

    assert max(waits) <= 2.0


@pytest.mark.redis
def test_a_bucket_in_redis_can_be_read_by_a_person_and_is_forgotten_when_full(redis_url: str):
    with redis.Redis.from_url(redis_url) as client:
        RedisBuckets(client).take("rate:test", BUCKET, cost=4)

        assert client.type("rate:test") == b"hash"
        assert float(client.hget("rate:test", "tokens")) == 6.0
        assert 8_000 < client.pttl("rate:test") <= 9_000
        client.delete("rate:test")


@given(waits=st.lists(st.floats(0, 30), max_size=60))
def test_no_pattern_of_requests_gets_more_than_burst_plus_refill(waits: list[float]):
    clock = Clock()
    buckets = MemoryBuckets(clock)
    began, taken = clock.now_s, 0
    for wait_s in waits:
        clock.now_s += wait_s
        taken += buckets.take("k", BUCKET, cost=1).allowed
        assert taken <= BUCKET.capacity + (clock.now_s - began) * BUCKET.refill_per_s + 1e-6


def limited(settings: Settings, build: Build, **how: object) -> FlaskClient:
    rate_limit = RateLimitSettings(**{"requests_per_minute": 30, "burst_size": 10, **how})
    api = dataclasses.replace(settings.api, rate_limit=rate_limit)
    still = MemoryBuckets(Clock())  # nothing flows in while the test runs, however slow the machine
    return build(dataclasses.replace(settings, api=api), buckets=still).client


BODY = {"text": "hi"}
ROUTE = "/api/v1/tts/synthesize"


def test_the_burst_is_served_and_the_next_is_429_with_retry_after(settings: Settings, build: Build):
    client = limited(settings, build)
    statuses = [client.post(ROUTE, json=BODY).status_code for _ in range(10)]
    refused = client.post(ROUTE, json=BODY)

    assert statuses == [200] * 10
    assert (refused.status_code, refused.json["error_code"]) == (429, "rate_limited")
    assert refused.content_type == "application/problem+json"
    assert refused.headers["Retry-After"] in {"1", "2"}


def test_a_look_costs_a_tenth(settings: Settings, build: Build):
    client = limited(settings, build, burst_size=2)
    statuses = [client.get("/api/v1/voices").status_code for _ in range(20)]

    assert statuses == [200] * 20
    assert client.post(ROUTE, json=BODY).status_code == 429


def test_each_address_has_its_own_bucket(settings: Settings, build: Build):
    client = limited(settings, build, burst_size=1)

    def post(address: str) -> int:
        return client.post(ROUTE, json=BODY, environ_overrides={"REMOTE_ADDR": address}).status_code

    assert [post("10.0.0.1"), post("10.0.0.1"), post("10.0.0.2")] == [200, 429, 200]
    assert [post("2001:db8::1"), post("2001:db8::2"), post("2001:db8:0:1::1")] == [200, 429, 200]


def test_an_override_widens_the_bucket_of_a_network(settings: Settings, build: Build):
    client = limited(settings, build, burst_size=1, overrides={"10.1.0.0/16": 300})
    inside = {"REMOTE_ADDR": "10.1.2.3"}
    statuses = [client.post(ROUTE, json=BODY, environ_overrides=inside).status_code for _ in range(11)]

    assert statuses == [200] * 10 + [429]


def test_an_override_that_names_a_key_says_nothing_of_addresses():
    limits = Limits(RateLimitSettings(overrides={"abcdef": 600}))

    assert limits.bucket("key:abcdef").capacity == 20 * limits.bucket("address:10.0.0.1").capacity


def test_a_short_wait_is_spent_rather_than_refused(settings: Settings, build: Build):
    client = limited(settings, build, requests_per_minute=1200, burst_size=1, max_wait_s=1.0)

    assert [client.post(ROUTE, json=BODY).status_code for _ in range(4)] == [200] * 4


class AwayBuckets:
    """Redis is gone."""

    def take(self, key: str, bucket: Bucket, *, cost: float, max_wait_s: float = 0.0) -> Take:
        raise redis.ConnectionError("gone")


def test_while_redis_is_away_each_process_counts_for_itself(settings: Settings):
    settings = dataclasses.replace(
        settings,
        api=dataclasses.replace(settings.api, rate_limit=RateLimitSettings(requests_per_minute=1, burst_size=3)),
    )
    stores = memory_stores(settings)
    app = create_app(settings, stores, Links(FakeWorker(stores), AwayBuckets()))
    answers = [app.test_client().post(ROUTE, json=BODY).status_code for _ in range(4)]

    assert answers == [503, 503, 503, 429]  # no worker: what counts is who was refused by whom


@pytest.mark.redis
def test_two_processes_share_one_bucket_in_redis(tmp_path, redis_settings: Settings):
    base = unlimited(tmp_path)
    rate_limit = RateLimitSettings(requests_per_minute=1, burst_size=10)
    settings = dataclasses.replace(
        base, api=dataclasses.replace(base.api, rate_limit=rate_limit), redis=redis_settings.redis
    )
    clients = []
    for _ in range(2):
        stores = memory_stores(settings)
        links = Links(FakeWorker(stores), RedisBuckets(connect(settings.redis)))
        clients.append(create_app(settings, stores, links).test_client())
    statuses = [clients[n % 2].post(ROUTE, json=BODY).status_code for n in range(14)]

    assert statuses.count(429) == 4
