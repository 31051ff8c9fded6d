"""Who may, from where, how often, and how much: keys, scopes, proxies, limits told, bodies refused early."""

import dataclasses
import io
import logging

import pytest
from api_service import Build, Service, voice_record, wav_bytes
from flask.testing import FlaskClient
from test_api_rate_limit import Clock

from contract.api_keys import ApiKey, Scope, digest_of
from contract.errors import SettingsError
from contract.settings import ApiSettings, RateLimitSettings, Settings, load_settings
from megatts3_server.token_bucket import MemoryBuckets

SPEAK, VOICES = "/api/v1/tts/synthesize", "/api/v1/voices"
BODY = {"text": "hi"}


def served(settings: Settings, build: Build, *, storage: dict[str, object] | None = None, **api: object) -> Service:
    changed = dataclasses.replace(settings, api=dataclasses.replace(settings.api, **api))
    if storage:
        changed = dataclasses.replace(changed, storage=dataclasses.replace(changed.storage, **storage))
    return build(changed, buckets=MemoryBuckets(Clock()))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# --- keys


def key(name: str, *scopes: Scope, **limits: int) -> ApiKey:
    return ApiKey(digest_of(name), name, frozenset(scopes or Scope), **limits)


@pytest.fixture
def guarded(settings: Settings, build: Build) -> Service:
    keys = (key("speaker", Scope.SYNTHESIZE), key("reader", Scope.READ), key("keeper", Scope.VOICES, Scope.READ))
    return served(settings, build, file_keys=keys, keys=(f"sha256:{digest_of('hashed')}",))


@pytest.mark.parametrize(
    ("who", "speak", "look", "delete"),
    [
        ("speaker", 200, 403, 403),
        ("reader", 403, 200, 403),
        ("keeper", 403, 200, 404),
        ("hashed", 200, 200, 404),
        ("nobody", 401, 401, 401),
    ],
)
def test_a_key_may_do_what_its_scopes_say(guarded: Service, who: str, speak: int, look: int, delete: int):
    client, headers = guarded.client, bearer(who)

    assert client.post(SPEAK, json=BODY, headers=headers).status_code == speak
    assert client.get(VOICES, headers=headers).status_code == look
    assert client.delete(f"{VOICES}/none", headers=headers).status_code == delete


def test_a_missing_scope_is_named(guarded: Service):
    refused = guarded.client.post(SPEAK, json=BODY, headers=bearer("reader"))

    assert refused.json["error_code"] == "forbidden"
    assert "synthesize" in refused.json["detail"]


def test_the_hash_of_a_key_is_no_key(guarded: Service):
    assert guarded.client.get(VOICES, headers=bearer(digest_of("hashed"))).status_code == 401


def test_preflights_pages_and_health_need_no_key(guarded: Service):
    client = guarded.client
    assert client.options(SPEAK, headers={"Origin": "http://a.example"}).status_code == 200
    assert {client.get(path).status_code for path in ("/", "/docs", "/openapi.json", "/health")} == {200}


def test_keys_come_from_a_file_with_names_scopes_and_limits(tmp_path):
    path = tmp_path / "keys.yaml"
    path.write_text(
        f"keys:\n  - {{name: platform, sha256: {digest_of('k')}, scopes: [synthesize], requests_per_minute: 600}}\n"
        f"  - {{sha256: {digest_of('other')}, burst_size: 3}}\n"
    )
    found = load_settings(environ={"MEGATTS3_API_KEYS_FILE": str(path)}).api.file_keys

    assert found[0] == ApiKey(digest_of("k"), "platform", frozenset({Scope.SYNTHESIZE}), 600)
    assert (found[1].scopes, found[1].burst_size) == (frozenset(Scope), 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keys: [{name: a}]", "keys[0]: sha256 must be 64"),
        ("keys: [{sha256: secret-in-clear}]", "keys[0]: sha256 must be 64"),
        (f"keys: [{{sha256: {'a' * 64}, scopes: [fly]}}]", "scopes are synthesize, voices, read"),
        (f"keys: [{{sha256: {'a' * 64}, requests_per_minute: 0}}]", "requests_per_minute must be"),
        (f"keys: [{{sha256: {'a' * 64}, scope: read}}]", "unknown scope"),
        (f"keys: [{{sha256: {'a' * 64}}}, {{sha256: {'a' * 64}}}]", "listed twice"),
        ("keys: {", "not YAML"),
        ("3", "expected `keys:`"),
    ],
)
def test_a_wrong_key_file_stops_the_start_and_tells_no_secret(tmp_path, text: str, says: str):
    path = tmp_path / "keys.yaml"
    path.write_text(text)

    with pytest.raises(SettingsError) as stopped:
        load_settings(environ={"MEGATTS3_API_KEYS_FILE": str(path)})

    assert says in str(stopped.value)
    assert "secret-in-clear" not in str(stopped.value)


def test_a_key_file_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.yaml cannot be read"):
        load_settings(environ={"MEGATTS3_API_KEYS_FILE": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize(
    ("api", "event", "level"),
    [
        ({"host": "127.0.0.1"}, "api_keys_off", logging.INFO),
        ({"host": "::1"}, "api_keys_off", logging.INFO),
        ({"host": "0.0.0.0"}, "api_keys_off", logging.WARNING),
        ({"host": "0.0.0.0", "keys": ("k",)}, "api_keys_on", logging.INFO),
    ],
)
def test_the_start_up_log_says_who_may(settings: Settings, build: Build, caplog, api, event: str, level: int):
    caplog.set_level(logging.INFO)
    served(settings, build, **api)

    (told,) = [record for record in caplog.records if record.getMessage().startswith("api_keys")]
    assert told.getMessage().startswith(event)
    assert told.levelno == level


# --- the limit, as it is told


def limits(**how: object) -> RateLimitSettings:
    return RateLimitSettings(**{"requests_per_minute": 30, "burst_size": 10, **how})


def test_every_counted_answer_says_what_is_left(settings: Settings, build: Build):
    client = served(settings, build, rate_limit=limits()).client

    first = client.post(SPEAK, json=BODY).headers
    for _ in range(9):
        client.post(SPEAK, json=BODY)
    refused = client.post(SPEAK, json=BODY)

    assert (first["RateLimit-Limit"], first["RateLimit-Remaining"], first["RateLimit-Reset"]) == ("10", "9", "2")
    assert first["RateLimit"] == '"requests";r=9;t=2'
    assert first["RateLimit-Policy"] == '"requests";q=30;w=60;burst=10'
    assert refused.status_code == 429
    assert (refused.headers["RateLimit-Remaining"], refused.headers["RateLimit-Reset"]) == ("0", "2")
    assert refused.headers["Retry-After"] == "2"


def test_what_is_not_counted_says_nothing(settings: Settings, build: Build):
    client = served(settings, build, rate_limit=limits()).client

    assert "RateLimit-Limit" not in client.get("/health").headers
    assert "RateLimit-Limit" not in client.options(SPEAK).headers


def test_health_answers_whatever_was_asked_before(settings: Settings, build: Build):
    client = served(settings, build, rate_limit=limits(burst_size=1)).client
    client.post(SPEAK, json=BODY)
    assert client.post(SPEAK, json=BODY).status_code == 429

    assert {client.get("/health").status_code for _ in range(100)} == {200}


def test_a_key_has_limits_of_its_own(settings: Settings, build: Build):
    keys = (key("wide", requests_per_minute=600, burst_size=25), key("narrow", burst_size=1), key("named"))
    overridden = limits(overrides={"named": 90})
    client = served(settings, build, file_keys=keys, rate_limit=overridden).client

    def burst(who: str) -> int:
        return int(client.get(VOICES, headers=bearer(who)).headers["RateLimit-Limit"])

    assert (burst("wide"), burst("narrow"), burst("named")) == (25, 1, 30)


# --- proxies


def address_counted(client: FlaskClient, peer: str, forwarded: str | None) -> str:
    """The first request of an address has 9 left; of the same address, 8."""
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    answer = client.post(SPEAK, json=BODY, headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    return answer.headers["RateLimit-Remaining"]


def test_behind_a_trusted_proxy_clients_are_told_apart(settings: Settings, build: Build):
    client = served(settings, build, rate_limit=limits(), trusted_proxies=("10.0.0.0/8",)).client

    assert address_counted(client, "10.0.0.1", "203.0.113.1") == "9"
    assert address_counted(client, "10.0.0.1", "203.0.113.2") == "9"
    assert address_counted(client, "10.0.0.1", "203.0.113.1") == "8"
    assert address_counted(client, "10.0.0.1", "203.0.113.1, 10.2.2.2") == "7"  # two proxies
    assert address_counted(client, "10.0.0.2", "203.0.113.1:4711") == "6"


def test_a_client_cannot_name_an_address_for_itself(settings: Settings, build: Build):
    client = served(settings, build, rate_limit=limits(), trusted_proxies=("10.0.0.0/8",)).client

    assert address_counted(client, "203.0.113.9", "1.1.1.1") == "9"  # not from the proxy: not read
    assert address_counted(client, "203.0.113.9", "2.2.2.2") == "8"
    assert address_counted(client, "10.0.0.1", "1.1.1.1, 203.0.113.9") == "7"  # invented, then the proxy's own word
    assert address_counted(client, "10.0.0.1", "2.2.2.2, nonsense, 203.0.113.9") == "6"


def test_without_trusted_proxies_the_header_says_nothing(settings: Settings, build: Build):
    client = served(settings, build, rate_limit=limits()).client

    assert address_counted(client, "10.0.0.1", "203.0.113.1") == "9"
    assert address_counted(client, "10.0.0.1", "203.0.113.2") == "8"


def test_a_proxy_that_is_no_address_stops_the_start():
    with pytest.raises(SettingsError, match="no address or network"):
        load_settings(environ={"MEGATTS3_TRUSTED_PROXIES": "10.0.0.0/8, nginx"})


# --- bodies


class Unread(io.BytesIO):
    """A body that counts what was taken of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data

    def readinto(self, buffer) -> int:
        count = super().readinto(buffer)
        self.taken += count
        return count


def multipart(file_bytes: int) -> tuple[bytes, str]:
    head = b'--b\r\nContent-Disposition: form-data; name="voice_id"\r\n\r\nv\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="voice_file"; filename="a.wav"\r\n\r\n'
    clip = wav_bytes()[:100] + bytes(file_bytes - 100)
    return head + clip + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


@pytest.mark.parametrize("route", [f"{VOICES}/upload", SPEAK])
def test_a_body_that_cannot_be_right_is_refused_before_it_is_read(settings: Settings, build: Build, route: str):
    app = served(settings, build, storage={"max_voice_bytes": 500_000, "max_latent_bytes": 1000}).app
    body, content_type = multipart(1_600_000)
    stream = Unread(body)
    seen: list[int] = []
    app.after_request(lambda response: (seen.append(stream.taken), response)[1])

    answer = app.test_client().post(
        route, input_stream=stream, content_type=content_type, headers={"Content-Length": str(len(body))}
    )

    assert (answer.status_code, answer.json["error_code"]) == (413, "upload_too_large")
    assert seen == [0]
    assert stream.taken == len(body)  # afterwards, so that the client reads the answer


def test_a_file_is_refused_while_it_comes_in(settings: Settings, build: Build):
    app = served(settings, build, storage={"max_voice_bytes": 200_000, "max_latent_bytes": 1000}).app
    body, content_type = multipart(1_000_000)
    stream = Unread(body)
    seen: list[int] = []
    app.after_request(lambda response: (seen.append(stream.taken), response)[1])

    answer = app.test_client().post(
        VOICES, input_stream=stream, content_type=content_type, headers={"Content-Length": str(len(body))}
    )

    assert (answer.status_code, answer.json["error_code"]) == (413, "upload_too_large")
    assert 200_000 < seen[0] < 500_000


def test_a_file_within_the_limit_is_taken(settings: Settings, build: Build):
    client = served(settings, build, storage={"max_voice_bytes": 700_000}).client
    body, content_type = multipart(700_000)

    assert client.post(VOICES, data=body, content_type=content_type).status_code == 201


# --- the default voice


def test_the_default_voice_is_the_one_the_settings_name(settings: Settings, build: Build):
    service = served(settings, build, default_voice="anna")
    service.stores.voices.create(voice_record("anna"))

    for body in (BODY, {**BODY, "voice_id": "default"}, {**BODY, "voice_id": "anna"}):
        answer = service.client.post(SPEAK, json=body)
        assert (answer.status_code, answer.headers["X-Cache"]) == (200, "miss" if body is BODY else "hit")
    assert ApiSettings().default_voice == "default"
