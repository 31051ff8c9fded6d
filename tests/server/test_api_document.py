"""The OpenAPI document is the URL table, and names every error; the pages ask no other host."""

import dataclasses
import re

import flask
import pytest
from api_service import WORKER, Build, Service, until
from flask.testing import FlaskClient

from contract.errors import ErrorCode
from contract.settings import Settings
from megatts3_server.problems import PROBLEMS
from megatts3_server.route_errors import ANYWHERE
from megatts3_server.routes import ROUTES


@pytest.fixture
def document(client: FlaskClient) -> dict:
    return client.get("/openapi.json").json


def operations(document: dict):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield method.upper(), path, operation


def test_the_document_is_the_url_table_and_the_app_serves_nothing_else(service: Service, document: dict):
    table = {(route.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule)) for route in ROUTES}
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in service.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert {(method, path) for method, path, _ in operations(document)} == table == served
    assert document["openapi"].startswith("3.1")


def test_every_operation_has_a_name_of_its_own_and_a_sentence(document: dict):
    found = [operation for _, _, operation in operations(document)]

    names = [operation["operationId"] for operation in found]
    assert len(set(names)) == len(names)
    assert [o["operationId"] for o in found if not o.get("summary")] == []


def test_a_job_needs_a_text_or_items_and_the_service_agrees(client: FlaskClient, document: dict):
    for name in ("JobBody", "JobForm"):
        body = document["components"]["schemas"][name]
        assert body["oneOf"] == [{"required": ["text"]}, {"required": ["items"]}]
        assert "text" not in body.get("required", [])
    assert body["properties"]["items"]["type"] == "string"  # a form has no lists of objects
    item = document["components"]["schemas"]["JobBody"]["properties"]["items"]["items"]["oneOf"]
    assert [each["type"] for each in item] == ["string", "object"]

    def status(**fields: object) -> int:
        return client.post("/api/v1/jobs", json=fields).status_code

    assert status(text="a") == status(items=["a", {"text": "b"}]) == 202
    assert {status(), status(items=[]), status(items=[{}]), status(items=[""]), status(items=["a"] * 1001)} == {422}
    assert status(text="a", items=["b"]) == 400


def test_every_error_is_documented_at_some_route_and_in_the_catalogue(document: dict):
    told = " ".join(
        response.get("description", "") for _, _, o in operations(document) for response in o["responses"].values()
    )

    assert {code.value for code in ErrorCode if code not in ANYWHERE and f"`{code.value}`" not in told} == set()
    assert [entry["error_code"] for entry in document["x-errors"]] == [code.value for code in PROBLEMS]


def test_every_reference_in_the_document_leads_somewhere(document: dict):
    def walk(node: object):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    for reference in walk(document):
        at: object = document
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(at, dict), reference
            at = at[part]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/tts/synthesize", {"text": ""}, "422"),
        ("POST", "/api/v1/tts/synthesize", {"text": "a", "voice_id": "nobody"}, "404"),
        ("POST", "/api/v1/voices", {}, "422"),
        ("GET", "/api/v1/jobs/{job_id}", None, "404"),
        ("DELETE", "/api/v1/voices/{voice_id}", None, "404"),
        ("PATCH", "/api/v1/voices/{voice_id}", {"name": ""}, "422"),
        ("GET", "/api/v1/jobs/{job_id}/audio", None, "404"),
    ],
)
def test_what_is_answered_is_documented(client: FlaskClient, document: dict, method: str, path: str, body, status: str):
    answer = client.open(re.sub(r"\{\w+\}", "none", path), method=method, json=body)

    assert str(answer.status_code) == status
    (operation,) = [o for m, p, o in operations(document) if (m, p) == (method, path)]
    assert f"`{answer.json['error_code']}`" in operation["responses"][status]["description"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_asks_no_other_host(client: FlaskClient, path: str):
    page = client.get(path).get_data(as_text=True)

    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']?(?:https?:)?//|@import|url\(", page)
    assert not re.search(r"fetch\([\"']https?:", page)


def test_the_studio_uses_routes_and_fields_that_exist(client: FlaskClient, document: dict):
    page = client.get("/").get_data(as_text=True)

    paths = set(re.findall(r"[\"'](/(?:api|health|docs|openapi)[^\"'?]*)[\"'?]", page))
    assert paths == {
        "/api/v1/voices",
        "/api/v1/tts/synthesize",
        "/api/v1/voices/upload",
        "/health",
        "/docs",
        "/openapi.json",
    }
    assert paths <= set(document["paths"])
    ids = set(re.findall(r'\bid="(\w+)"', page))
    assert set(re.findall(r'\$\("(\w+)"\)', page)) <= ids
    assert set(re.findall(r'<label for="(\w+)"', page)) <= ids
    assert "innerHTML" not in page  # names of voices come from strangers


def test_the_studio_says_in_chinese_all_it_says_in_english(client: FlaskClient):
    page = client.get("/").get_data(as_text=True)
    chinese = page.partition("const ZH={")[2].partition("}")[0]

    for name in set(re.findall(r'data-t="(\w+)"', page)):
        assert re.search(rf'\b"?{name}"?:"', chinese), name


def test_the_models_are_those_of_the_ready_workers(settings: Settings, build: Build):
    assert build(settings, worker=None).client.get("/api/v1/models").json == {"models": []}

    service = build(settings)
    service.stores.workers.heartbeat(dataclasses.replace(WORKER, name="second", device="cuda:0"), ttl_s=1000)
    service.stores.workers.heartbeat(
        dataclasses.replace(WORKER, name="loading", revision="r2", ready=False), ttl_s=1000
    )

    (model,) = service.client.get("/api/v1/models").json["models"]
    assert (model["id"], model["revision"], model["workers"]) == ("mini", "r1", 2)
    assert model["devices"] == ["cpu", "cuda:0"]


def test_the_capacity_is_what_the_workers_measured(settings: Settings, build: Build):
    service = build(settings, worker=None)
    busy = dataclasses.replace(
        WORKER, max_rows=4, active_rows=3, active_jobs=9, audio_s_per_s=2.0, wait_p95_s={"interactive": 0.5}
    )
    idle = dataclasses.replace(
        WORKER, name="idle", max_rows=8, audio_s_per_s=3.0, wait_p95_s={"interactive": 0.2, "batch": 9.0}
    )
    for worker in (busy, idle):
        service.stores.workers.heartbeat(worker, ttl_s=1000)
    service.worker.hold = True
    for n in range(3):
        service.client.post("/api/v1/jobs", json={"text": f"你好世界{n}" * 10, "priority": "interactive"})
    expected = service.stores.jobs.depth()
    service.app.extensions["megatts3"].workers._last = None

    seen = service.client.get("/api/v1/capacity").json

    assert (seen["ready_workers"], seen["rows"], seen["free_rows"]) == (2, 12, 9)
    assert seen["audio_s_per_s"] == 5.0
    assert seen["queue"]["jobs"] == 3
    assert seen["queue"]["audio_s"] == pytest.approx(expected.queued_audio_s)
    assert seen["queue"]["interactive_audio_s"] == pytest.approx(expected.queued_interactive_audio_s)
    assert seen["queue"]["running_audio_s"] == expected.running_audio_s == 0
    assert seen["estimated_wait_s"] == pytest.approx(expected.queued_audio_s / 5.0, abs=1e-3)
    assert seen["wait_p95_s"] == {"interactive": 0.5, "batch": 9.0}
    assert seen["suggested_concurrency"] == 14


def test_a_service_that_measured_nothing_yet_says_so(client: FlaskClient):
    seen = client.get("/api/v1/capacity").json

    assert (seen["audio_s_per_s"], seen["estimated_wait_s"]) == (None, None)
    assert seen["wait_p95_s"] == {"interactive": None, "batch": None}


def test_the_views_have_no_body_flask_would_guess(service: Service):
    """Every view answers with a Response it made itself."""
    assert all(issubclass(flask.Response, route.view.__annotations__["return"]) for route in ROUTES)


def test_every_header_of_an_answer_is_in_the_document(service: Service, document: dict):
    """Asked for everything once, with a rate limit on; but for what HTTP itself and CORS bring along."""
    client = service.client
    spoken = client.post("/api/v1/tts/synthesize", json={"text": "hello", "surprise": 1})
    job = client.post("/api/v1/jobs", json={"text": "hello again"})
    until(lambda: client.get(job.headers["Location"]).json["status"] == "done")
    answers = {
        ("post", "/api/v1/tts/synthesize"): [spoken, client.post("/api/v1/tts/synthesize", json={})],
        ("post", "/api/v1/jobs"): [job],
        ("get", "/api/v1/jobs/{job_id}"): [client.get(job.headers["Location"])],
        ("get", "/api/v1/jobs/{job_id}/audio"): [
            client.get(f"{job.headers['Location']}/audio", headers=headers)
            for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=9999999-"})
        ],
        ("get", "/health"): [client.get("/health")],
        ("get", "/api/v1/voices"): [client.get("/api/v1/voices")],
    }
    carried = {"Content-Type", "Content-Length", "Content-Language", "Date", "Last-Modified"}
    for (method, path), given in answers.items():
        told = document["paths"][path][method]["responses"]
        for answer in given:
            documented = told[str(answer.status_code)]["headers"]
            names = {name for name, _ in answer.headers if not name.startswith("Access-Control-")}
            assert names - carried - set(documented) == set(), (method, path, answer.status_code)
            assert "X-Request-ID" in names


def test_the_headers_that_are_read_are_in_the_document(document: dict):
    def read(method: str, path: str) -> set[str]:
        parameters = document["paths"][path][method]["parameters"]
        return {parameter["name"] for parameter in parameters if parameter["in"] == "header"}

    assert "Idempotency-Key" in read("post", "/api/v1/jobs")
    assert "Prefer" in read("post", "/api/v1/tts/synthesize") & read("post", "/v1/audio/speech")
    assert "Prefer" in read("get", "/api/v1/jobs/{job_id}")
    assert {"Range", "If-Range", "If-None-Match"} <= read("get", "/api/v1/jobs/{job_id}/audio")


def test_the_document_forbids_no_further_member(document: dict):
    schemas = document["components"]["schemas"]

    assert [name for name, schema in schemas.items() if schema.get("additionalProperties") is False] == []


def test_options_name_the_methods_of_the_address_alone(client: FlaskClient):
    assert client.options("/api/v1/voices/upload").headers["Allow"] == "OPTIONS, POST"
    assert client.options("/api/v1/voices/anna").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


def test_the_reference_shows_parameters_and_headers(client: FlaskClient):
    page = client.get("/docs").get_data(as_text=True)

    for name in ("Idempotency-Key", "Prefer", "If-None-Match", "cursor", "X-Cache", "RateLimit-Remaining", "ETag"):
        assert name in page


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_browser_asks_for_no_icon(client: FlaskClient, path: str):
    """It would get a 404, and show it as an error of the page."""
    assert '<link rel="icon" href="data:,">' in client.get(path).get_data(as_text=True)
