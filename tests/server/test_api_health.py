"""Health, facts, the API's own description."""

import dataclasses
import json
import time

import pytest
from api_service import WORKER, Build, Service
from flask.testing import FlaskClient

from contract.canary import CanaryVerdict
from contract.errors import ErrorCode, ServiceError
from contract.schemas import WorkerState
from contract.settings import RateLimitSettings, Settings
from megatts3_server.health_view import gigabytes
from megatts3_server.problems import PROBLEMS
from megatts3_server.routes import ROUTES
from megatts3_server.workers_view import WorkersView


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
def test_health_says_what_known_scripts_read(client: FlaskClient, path: str):
    answer = client.get(path)

    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json["status"] == "healthy"
    assert isinstance(answer.json["version"], str)
    assert (answer.json["model_loaded"], answer.json["gpu_available"]) == (True, False)
    assert answer.json["memory_usage"] == {"total": "8GB", "used": "2.1GB", "free": "5.9GB"}
    assert (answer.json["encoder_available"], answer.json["queue_depth"]) == (True, 0)
    assert answer.json["workers"] == {"ready": 1, "all": 1}


@pytest.mark.parametrize(
    "worker", [None, dataclasses.replace(WORKER, ready=False, problem="the checkpoint is missing")]
)
def test_health_is_503_with_a_reason_while_no_worker_is_ready(
    settings: Settings, build: Build, worker: WorkerState | None
):
    answer = build(settings, worker=worker).client.get("/health")

    assert answer.status_code == 503
    assert answer.json["status"] == "unhealthy"
    assert answer.json["model_loaded"] is False
    assert answer.json["reason"] == (worker.problem if worker else "The service is not ready yet.")
    assert answer.json["memory_usage"].keys() == {"total", "used", "free"}


def test_live_answers_whatever_the_workers_do(settings: Settings, build: Build):
    assert build(settings, worker=None).client.get("/health/live").json == {"status": "alive"}


def test_health_is_never_limited(settings: Settings, build: Build):
    tight = RateLimitSettings(requests_per_minute=1, burst_size=1)
    service = build(dataclasses.replace(settings, api=dataclasses.replace(settings.api, rate_limit=tight)))

    assert {service.client.get("/health").status_code for _ in range(30)} == {200}


class AwayRegistry:
    """A registry whose Redis is gone, and that takes a while to notice."""

    def __init__(self) -> None:
        self.asked = 0

    def heartbeat(self, worker: WorkerState, *, ttl_s: float) -> None: ...

    def remove(self, name: str) -> None: ...

    def list(self) -> tuple[WorkerState, ...]:
        self.asked += 1
        raise ServiceError(ErrorCode.STORE_UNAVAILABLE)


def test_health_says_that_the_store_is_away(settings: Settings, build: Build):
    service = build(settings)
    away = dataclasses.replace(service.stores, workers=AwayRegistry())
    view = WorkersView(away.workers, away.jobs, away.canary)

    assert view.snapshot().problem is ErrorCode.STORE_UNAVAILABLE
    assert view.snapshot().ready == ()


def test_the_registry_is_asked_once_a_second_however_often_health_is(settings: Settings, build: Build):
    service = build(settings)
    registry = AwayRegistry()
    view = WorkersView(registry, service.stores.jobs, service.stores.canary, fresh_s=1000)
    for _ in range(50):
        view.snapshot()

    assert registry.asked == 1


def test_a_worker_that_got_ready_is_seen_at_once_by_every_process(settings: Settings, build: Build, clock):
    """Of two processes one says that the service is ready; what the other remembers must not contradict it for long."""
    service = build(settings, worker=None)
    view = WorkersView(service.stores.workers, service.stores.jobs, service.stores.canary, clock=clock)
    assert not view.snapshot().is_healthy

    service.stores.workers.heartbeat(WORKER, ttl_s=1000)
    clock.advance(0.15)

    assert view.snapshot().is_healthy


def test_health_answers_in_milliseconds(client: FlaskClient):
    client.get("/health")
    began = time.perf_counter()
    for _ in range(20):
        client.get("/health")

    assert (time.perf_counter() - began) / 20 < 0.05


@pytest.mark.parametrize(("size_bytes", "text"), [(8 * 1024**3, "8GB"), (2_254_857_830, "2.1GB"), (0, "0GB")])
def test_sizes_are_written_as_known_scripts_expect(size_bytes: int, text: str):
    assert gigabytes(size_bytes) == text


def test_info_says_limits_and_what_the_weights_can_do(client: FlaskClient):
    facts = client.get("/api/v1/info").json

    assert facts["capabilities"]["encoder_available"] is True
    assert facts["limits"]["max_length"] == 1000
    assert (facts["checkpoint"], facts["revision"]) == ("mini", "r1")


def test_the_start_page_is_html_and_json_for_programs(client: FlaskClient):
    assert client.get("/").content_type.startswith("text/html")
    assert client.get("/", headers={"Accept": "application/json"}).json["name"] == "megatts3-server"


def test_the_document_has_every_route_and_its_fields(client: FlaskClient):
    document = client.get("/openapi.json").json

    assert document["openapi"] == "3.1.0"
    paths = {(path, method) for path, item in document["paths"].items() for method in item}
    for route in ROUTES:
        assert (route.rule.replace("<", "{").replace(">", "}"), route.method.lower()) in paths
    speech = document["components"]["schemas"]["SpeechBody"]["properties"]
    assert (speech["speed"]["minimum"], speech["speed"]["maximum"]) == (0.25, 4.0)
    assert speech["response_format"]["enum"] == ["wav", "mp3", "opus", "flac", "aac", "pcm"]
    assert (speech["text"]["maxLength"], speech["text"]["x-aliases"]) == (1000, ["input"])
    assert document["components"]["schemas"]["SpeechBody"]["required"] == ["text"]
    assert document["components"]["schemas"]["JobBody"]["properties"]["text"]["maxLength"] == 1_000_000
    file_form = document["paths"]["/api/v1/tts/synthesize_file"]["post"]["requestBody"]["content"]
    assert file_form.keys() == {"application/json", "multipart/form-data"}


def test_every_reference_in_the_document_resolves(client: FlaskClient):
    document = client.get("/openapi.json").json
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}

    assert references
    for reference in references:
        found = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def test_operation_ids_are_unique(client: FlaskClient):
    document = client.get("/openapi.json").json
    ids = [op["operationId"] for item in document["paths"].values() for op in item.values() if "operationId" in op]

    assert len(ids) == len(set(ids)) == len(ROUTES)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_pages_ask_no_other_host(client: FlaskClient, path: str):
    page = client.get(path).text

    assert "src=" not in page
    assert "//cdn" not in page
    assert 'href="http' not in page


def test_the_reference_has_an_anchor_for_every_error(client: FlaskClient):
    page = client.get("/docs").text

    assert all(f'id="{code.value}"' in page for code in PROBLEMS)
    assert "synthesize_file" in page


def test_cross_origin_requests_are_answered_as_configured(client: FlaskClient):
    answer = client.options(
        "/api/v1/tts/synthesize",
        headers={"Origin": "http://a.example", "Access-Control-Request-Method": "POST"},
    )

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_errors_can_be_read_across_origins_too(client: FlaskClient):
    answer = client.post("/api/v1/tts/synthesize", json={}, headers={"Origin": "http://a.example"})

    assert answer.status_code == 422
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Job-ID" in answer.headers["Access-Control-Expose-Headers"]


def test_with_keys_configured_the_api_needs_one_and_health_does_not(settings: Settings, build: Build):
    api = dataclasses.replace(settings.api, keys=("secret-1", "secret-2"))
    service: Service = build(dataclasses.replace(settings, api=api))
    body = {"text": "hi"}

    assert service.client.get("/health").status_code == 200
    refused = service.client.post("/api/v1/tts/synthesize", json=body)
    assert (refused.status_code, refused.json["error_code"]) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    for headers in ({"Authorization": "Bearer secret-2"}, {"X-API-Key": "secret-1"}):
        assert service.client.post("/api/v1/tts/synthesize", json=body, headers=headers).status_code == 200
    assert service.client.get("/api/v1/jobs", headers={"X-API-Key": "nope"}).status_code == 401


def test_a_job_is_seen_by_its_own_key_only(settings: Settings, build: Build):
    api = dataclasses.replace(settings.api, keys=("secret-1", "secret-2"))
    service: Service = build(dataclasses.replace(settings, api=api))
    job = service.client.post("/api/v1/jobs", json={"text": "hi"}, headers={"X-API-Key": "secret-1"}).json

    assert service.client.get(job["url"], headers={"X-API-Key": "secret-1"}).status_code == 200
    assert service.client.get(job["url"], headers={"X-API-Key": "secret-2"}).status_code == 404
    assert service.client.get("/api/v1/jobs", headers={"X-API-Key": "secret-2"}).json["jobs"] == []


def heard(*, failures: int) -> CanaryVerdict:
    return CanaryVerdict(ok=not failures, at=1.0, latency_s=1.0, failures=failures, reason="noise" if failures else "")


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
@pytest.mark.parametrize(("failures", "status"), [(0, 200), (1, 200), (2, 503)])
def test_readiness_goes_off_when_speech_goes_bad(
    settings: Settings, build: Build, path: str, failures: int, status: int
):
    service = build(settings)
    service.stores.canary.post(heard(failures=failures), ttl_s=60)

    answer = service.client.get(path)

    assert answer.status_code == status
    assert answer.get_json().get("reason") == ("canary: noise" if status == 503 else None)


def test_work_is_taken_while_speech_is_bad_for_the_canary_must_be_able_to_recover(settings: Settings, build: Build):
    service = build(settings)
    service.stores.canary.post(heard(failures=5), ttl_s=60)

    assert service.client.post("/api/v1/tts/synthesize", json={"text": "hello"}).status_code == 200
