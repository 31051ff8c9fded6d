"""Every error has one shape, whatever raised it."""

import dataclasses
import json

import flask
import pytest
import werkzeug.exceptions
from api_service import Build, Service
from flask.testing import FlaskClient

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.settings import Settings
from megatts3_server.problems import PROBLEMS

MEMBERS = {"type", "title", "status", "detail", "instance", "error", "error_code", "request_id"}
HTTP_ERRORS = sorted(werkzeug.exceptions.default_exceptions)


@pytest.fixture
def raising(settings: Settings, build: Build) -> FlaskClient:
    """An API with routes that only fail."""
    service = build(settings)
    app = service.app

    def code(name: str) -> flask.Response:
        raise ServiceError(ErrorCode(name), job_id="job_1", params={"length": 9, "limit": 5})

    def status(number: int) -> flask.Response:
        flask.abort(number)

    def surprise() -> flask.Response:
        raise RuntimeError("secret of the house")

    app.add_url_rule("/code/<name>", view_func=code)
    app.add_url_rule("/status/<int:number>", view_func=status)
    app.add_url_rule("/surprise", view_func=surprise)
    return app.test_client()


def problem_of(answer) -> dict[str, object]:
    assert answer.content_type == "application/problem+json"
    members = json.loads(answer.data)
    assert members.keys() >= MEMBERS
    assert members["status"] == answer.status_code
    assert members["error"] == members["detail"]
    assert members["request_id"] == answer.headers["X-Request-ID"]
    assert members["type"] == f"/docs#{members['error_code']}"
    return members


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_error_code_has_its_row_and_the_one_shape(raising: FlaskClient, code: ErrorCode):
    answer = raising.get(f"/code/{code.value}")

    members = problem_of(answer)
    assert answer.status_code == PROBLEMS[code].status
    assert members["error_code"] == code.value
    assert members["job_id"] == "job_1"
    assert members["title"] == PROBLEMS[code].title
    assert ("Retry-After" in answer.headers) == (PROBLEMS[code].retry_after_s is not None)


@pytest.mark.parametrize("status", HTTP_ERRORS)
def test_each_http_error_has_the_one_shape(raising: FlaskClient, status: int):
    answer = raising.get(f"/status/{status}")

    assert answer.status_code == status
    problem_of(answer)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_error_code_is_spoken_in_chinese(raising: FlaskClient, code: ErrorCode):
    answer = raising.get(f"/code/{code.value}", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})

    assert any("\u4e00" <= c <= "\u9fff" for c in problem_of(answer)["detail"])
    assert answer.headers["Content-Language"] == "zh"


def test_a_surprise_shows_nothing_but_the_request_id(raising: FlaskClient, caplog: pytest.LogCaptureFixture):
    answer = raising.get("/surprise", headers={"X-Request-ID": "mine-1"})

    members = problem_of(answer)
    assert (answer.status_code, members["error_code"]) == (500, "internal")
    assert members["request_id"] == "mine-1"
    assert "secret" not in answer.text
    assert "secret of the house" in caplog.text


def test_an_unknown_path_is_json(client: FlaskClient):
    assert problem_of(client.get("/nothing/here"))["error_code"] == "not_found"


def test_a_wrong_method_is_json_and_says_what_is_allowed(client: FlaskClient):
    answer = client.get("/api/v1/tts/synthesize")

    assert problem_of(answer)["error_code"] == "method_not_allowed"
    assert "POST" in answer.headers["Allow"]


def test_allow_names_every_method_of_a_path(client: FlaskClient):
    allowed = client.put("/api/v1/jobs/job_1").headers["Allow"]

    assert {"GET", "DELETE"} <= set(allowed.split(", "))


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff\xfe{}", b"", b'{"text": NaN}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_400(client: FlaskClient, body: bytes):
    answer = client.post("/api/v1/tts/synthesize", data=body, content_type="application/json")

    assert answer.status_code == 400
    assert problem_of(answer)["error_code"] == "malformed_request"


def test_a_body_of_another_type_is_415(client: FlaskClient):
    answer = client.post("/api/v1/tts/synthesize", data=b"<a/>", content_type="application/xml")

    assert answer.status_code == 415
    assert problem_of(answer)["error_code"] == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
def test_a_request_above_the_limit_is_413(settings: Settings, build: Build, content_type: str):
    api = dataclasses.replace(settings.api, max_request_bytes=1000)
    client = build(dataclasses.replace(settings, api=api)).client

    answer = client.post("/api/v1/tts/synthesize", data=bytes(1001), content_type=content_type)

    assert answer.status_code == 413
    assert problem_of(answer)["error_code"] == "upload_too_large"


def test_field_errors_are_spoken_in_the_callers_language(client: FlaskClient):
    body = {"text": "hi", "speed": 9}
    english = problem_of(client.post("/api/v1/tts/synthesize", json=body))
    chinese = problem_of(client.post("/api/v1/tts/synthesize", json=body, headers={"Accept-Language": "zh"}))

    expected = field_error("speed", FieldProblem.OUT_OF_RANGE, "0.25..4")
    assert english["errors"] == [expected.to_dict()]
    assert chinese["errors"][0]["message"] == "speed 超出范围,应为 0.25 – 4"
    assert chinese["detail"] == chinese["errors"][0]["message"]


def test_half_a_surrogate_pair_breaks_no_answer(client: FlaskClient):
    """JSON can spell what UTF-8 cannot carry."""

    def post(path: str, body: dict[str, object]):
        return client.post(f"/api/v1/{path}", data=json.dumps(body), content_type="application/json")

    lenient = post("tts/synthesize", {"text": "hi", "\ud800x": 1})
    strict = post("tts/synthesize", {"text": "hi", "strict": True, "\ud800x": 1})
    text = post("tts/synthesize", {"text": "hi\ud800"})
    metadata = post("jobs", {"text": "hi", "metadata": {"\ud800x": "\udfff"}})

    assert (lenient.status_code, strict.status_code, text.status_code) == (200, 422, 422)
    assert problem_of(strict)["errors"][0]["field"] == "?x"
    assert problem_of(text)["errors"][0]["field"] == "text"
    assert problem_of(metadata)["errors"][0]["field"] == "metadata"


def test_a_request_id_that_could_break_a_log_line_is_replaced(service: Service):
    answer = service.client.get("/health", headers={"X-Request-ID": "a b\tc" + "x" * 200})

    assert answer.headers["X-Request-ID"] not in {"", "a b\tc"}
    assert len(answer.headers["X-Request-ID"]) <= 64


def test_the_request_id_is_kept_on_the_job(service: Service):
    answer = service.client.post("/api/v1/tts/synthesize", json={"text": "hi"}, headers={"X-Request-ID": "mine-2"})

    assert answer.headers["X-Request-ID"] == "mine-2"
    assert service.stores.jobs.get(answer.headers["X-Job-ID"]).request_id == "mine-2"
