"""POST /api/v1/tts/synthesize and synthesize_file: what the known clients send, and what they get."""

import base64
import dataclasses
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_service import WORKER, Build, Service, until, waiting_for_jobs, wav_bytes
from flask.testing import FlaskClient

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import JobStatus, Priority, SpeechRequest
from contract.settings import Settings
from megatts3_server.submission import Caller
from megatts3_server.waiting import ClientGone

SYNTHESIZE = "/api/v1/tts/synthesize"
BODY = {
    "text": "你好，这是MegaTTS3语音合成测试。",
    "voice_id": "voice_001",
    "parameters": {"speed": 1.0, "pitch": 1.0, "emotion": "neutral"},
}


def test_the_answer_is_exactly_200_with_the_audio(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json=BODY)

    assert answer.status_code == 200
    assert answer.content_type == "audio/wav"
    assert answer.data == wav_bytes(0.5)
    assert answer.headers["X-Cache"] == "miss"
    assert answer.headers["X-Audio-Duration"] == "0.500"
    assert answer.headers["X-Audio-Sample-Rate"] == "24000"
    assert answer.headers["X-RTF"] == "0.5000"
    assert answer.headers["X-Job-ID"].startswith("job_")
    assert "synthesis;dur=250.0" in answer.headers["Server-Timing"]


def test_the_same_request_again_comes_from_the_cache(service: Service):
    first = service.client.post(SYNTHESIZE, json=BODY)
    second = service.client.post(SYNTHESIZE, json=BODY)

    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("miss", "hit")
    assert first.data == second.data
    assert len(service.worker.spoken) == 1


def test_cache_false_speaks_again(service: Service):
    for _ in range(2):
        answer = service.client.post(SYNTHESIZE, json={**BODY, "cache": False})
        assert answer.headers["X-Cache"] == "miss"

    assert len(service.worker.spoken) == 2


def test_accept_json_gives_the_audio_in_json(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json=BODY, headers={"Accept": "application/json"})

    assert answer.status_code == 200
    assert answer.json["success"] is True
    assert base64.b64decode(answer.json["audio_base64"]) == wav_bytes(0.5)
    assert answer.json["text"] == BODY["text"]
    assert answer.json["duration_s"] == 0.5
    assert isinstance(answer.json["parameters"]["seed"], int)


@pytest.mark.parametrize("accept", ["*/*", "application/json, text/plain, */*", "audio/wav", "text/html", None])
def test_audio_is_the_answer_unless_json_is_liked_better(client: FlaskClient, accept: str | None):
    headers = {} if accept is None else {"Accept": accept}

    assert client.post(SYNTHESIZE, json=BODY, headers=headers).content_type == "audio/wav"


def test_respond_async_gives_a_job_to_look_at(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json=BODY, headers={"Prefer": "respond-async"})

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/jobs/{answer.json['id']}"
    assert client.get(answer.headers["Location"] + "?wait=5").json["id"] == answer.json["id"]


def test_prefer_wait_gives_the_audio_when_it_is_ready_in_time(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json=BODY, headers={"Prefer": "wait=5"})

    assert (answer.status_code, answer.content_type) == (200, "audio/wav")


def test_prefer_wait_gives_a_job_when_the_time_is_up(service: Service):
    service.worker.hold = True

    answer = service.client.post(SYNTHESIZE, json=BODY, headers={"Prefer": "wait=0.1"})

    assert answer.status_code == 202
    assert service.stores.jobs.get(answer.json["id"]).status is JobStatus.QUEUED


def test_a_sync_answer_that_takes_too_long_is_504_and_the_job_goes_on(settings: Settings, build: Build):
    api = dataclasses.replace(settings.api, sync_wait_s=0.2)
    service = build(dataclasses.replace(settings, api=api))
    service.worker.hold = True

    answer = service.client.post(SYNTHESIZE, json=BODY)
    service.worker.let_go.set()

    assert answer.status_code == 504
    assert answer.json["error_code"] == "deadline_exceeded"
    job = service.client.get(f"/api/v1/jobs/{answer.json['job_id']}?wait=5").json
    done = service.client.get(f"/api/v1/jobs/{answer.json['job_id']}?wait=5").json
    assert "done" in {job["status"], done["status"]}


def test_identical_requests_in_flight_are_computed_once_and_both_get_the_audio(service: Service):
    service.worker.hold = True
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(service.client.post, SYNTHESIZE, json=BODY) for _ in range(3)]
        until(lambda: len(service.worker.sent) == 1 and waiting_for_jobs(service) == 3)
        service.worker.let_go.set()
        bodies = [answer.result(10) for answer in answers]

    assert [body.status_code for body in bodies] == [200, 200, 200]
    assert {body.data for body in bodies} == {wav_bytes(0.5)}
    assert len({body.headers["X-Job-ID"] for body in bodies}) == 3, "each has a job of its own"
    assert len(service.worker.spoken) == 1


def test_a_client_of_a_shared_job_that_hangs_up_takes_nothing_from_the_others(service: Service):
    service.worker.hold = True
    gone = threading.Event()
    submission = service.app.extensions["megatts3"].submission
    resolved = submission.resolve(SpeechRequest(text="shared"))
    with ThreadPoolExecutor(3) as pool:
        leaving = pool.submit(submission.speak, resolved, Caller("1", is_gone=gone.is_set), timeout_s=10)
        until(lambda: len(service.worker.sent) == 1)
        staying = [pool.submit(submission.speak, resolved, Caller("2"), timeout_s=10) for _ in range(2)]
        until(lambda: waiting_for_jobs(service) == 3)
        gone.set()
        with pytest.raises(ClientGone):
            leaving.result(10)
        service.worker.let_go.set()
        done = [each.result(10) for each in staying]

    assert [job.status for job in done] == [JobStatus.DONE, JobStatus.DONE]
    assert {job.status for job in service.stores.jobs.list().jobs} == {JobStatus.DONE, JobStatus.CANCELLED}
    assert len(service.worker.spoken) == 1


def test_when_the_first_of_two_equal_requests_is_refused_the_second_is_still_spoken(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    told = []

    def refuse(job):
        monkeypatch.undo()
        told.append(service.client.post("/api/v1/jobs", json=BODY))
        raise ServiceError(ErrorCode.STORE_UNAVAILABLE)

    monkeypatch.setattr(service.worker, "synthesize", refuse)
    refused = service.client.post("/api/v1/jobs", json=BODY)

    assert (refused.status_code, told[0].status_code) == (503, 202)
    (left,) = service.stores.jobs.list().jobs
    assert left.id == told[0].json["id"]
    service.worker.synthesize(left)  # as a sweep does
    until(lambda: service.stores.jobs.get(left.id).status is JobStatus.DONE)


def test_an_urgent_request_hurries_the_equal_job_it_follows(service: Service):
    service.worker.hold = True
    book = service.client.post("/api/v1/jobs", json=BODY).json
    service.client.post("/api/v1/jobs", json={**BODY, "priority": "interactive"})

    assert service.worker.sent == [book["id"], book["id"]]
    assert service.stores.jobs.get(book["id"]).priority is Priority.INTERACTIVE


def test_a_joined_job_that_its_owner_cancels_is_spoken_for_the_other(service: Service):
    service.worker.hold = True
    first = service.client.post(SYNTHESIZE, json=BODY, headers={"Prefer": "respond-async"}).json["id"]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.client.post, SYNTHESIZE, json=BODY)
        until(lambda: waiting_for_jobs(service) == 1)
        service.client.delete(f"/api/v1/jobs/{first}")
        service.worker.let_go.set()

    assert answer.result(10).status_code == 200
    assert answer.result(10).headers["X-Job-ID"] != first


def test_a_client_that_hangs_up_cancels_a_job_nobody_else_wants(service: Service, hung_up: socket.socket):
    service.worker.hold = True

    service.client.post(SYNTHESIZE, json=BODY, environ_overrides={"gunicorn.socket": hung_up})

    (job,) = service.stores.jobs.list().jobs
    assert job.status is JobStatus.CANCELLED


def test_a_client_that_hangs_up_leaves_a_job_that_another_waits_for(service: Service, hung_up: socket.socket):
    service.worker.hold = True
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(service.client.post, SYNTHESIZE, json=BODY)
        until(lambda: waiting_for_jobs(service) == 1)
        service.client.post(SYNTHESIZE, json=BODY, environ_overrides={"gunicorn.socket": hung_up})
        service.worker.let_go.set()

    assert other.result(10).status_code == 200
    assert len(service.worker.spoken) == 1


def test_unknown_fields_are_taken_and_named_in_a_header(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json={**BODY, "model": "tts-1", "声音": 1})

    assert answer.status_code == 200
    assert "model" in answer.headers["X-Warnings"]
    answer.headers["X-Warnings"].encode("ascii")


def test_strict_makes_an_unknown_field_an_error(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json={**BODY, "strict": True, "model": "tts-1"})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "model"


def test_a_missing_style_is_said_in_a_header_and_is_an_error_when_strict(client: FlaskClient):
    asked = {**BODY, "parameters": {"emotion": "happy"}}

    lenient = client.post(SYNTHESIZE, json=asked)
    strict = client.post(SYNTHESIZE, json={**asked, "strict": True})

    assert (lenient.status_code, strict.status_code) == (200, 422)
    assert "emotion" in lenient.headers["X-Warnings"]
    assert strict.json["error_code"] == "style_not_found"
    assert strict.json["errors"][0]["field"] == "emotion"


def test_an_unknown_voice_is_404(client: FlaskClient):
    answer = client.post(SYNTHESIZE, json={**BODY, "voice_id": "nobody"})

    assert (answer.status_code, answer.json["error_code"]) == (404, "voice_not_found")


def test_without_a_ready_worker_it_is_503_with_retry_after(settings: Settings, build: Build):
    service = build(settings, worker=None)

    answer = service.client.post(SYNTHESIZE, json=BODY)

    assert (answer.status_code, answer.json["error_code"]) == (503, "not_ready")
    assert int(answer.headers["Retry-After"]) >= 1


def test_while_the_only_worker_is_replaced_work_is_accepted_and_waits(settings: Settings, build: Build):
    service = build(settings, worker=None)
    later = {"Prefer": "respond-async"}
    assert service.client.post(SYNTHESIZE, json=BODY, headers=later).status_code == 503
    service.stores.workers.await_again(WORKER, ttl_s=120)
    until(lambda: service.client.post(SYNTHESIZE, json=BODY, headers=later).status_code == 202)
    assert service.client.get("/health").status_code == 503, "nobody is ready"


def test_too_many_seconds_waiting_are_503_with_retry_after_from_the_throughput(settings: Settings, build: Build):
    jobs = dataclasses.replace(settings.jobs, max_queued_audio_s=1.0)
    service = build(dataclasses.replace(settings, jobs=jobs), worker=dataclasses.replace(WORKER, audio_s_per_s=0.5))
    service.worker.hold = True
    later = {"Prefer": "respond-async"}
    assert service.client.post(SYNTHESIZE, json=BODY, headers=later).status_code == 202

    answer = service.client.post(SYNTHESIZE, json={"text": "再来一句。" * 20}, headers=later)

    assert (answer.status_code, answer.json["error_code"]) == (503, "queue_full")
    assert int(answer.headers["Retry-After"]) > 20


def test_with_a_full_queue_an_equal_request_joins_the_job_under_way(settings: Settings, build: Build):
    jobs = dataclasses.replace(settings.jobs, max_queued_jobs=1)
    service = build(dataclasses.replace(settings, jobs=jobs))
    service.worker.hold = True
    later = {"Prefer": "respond-async"}
    first = service.client.post(SYNTHESIZE, json=BODY, headers=later)

    again = service.client.post(SYNTHESIZE, json=BODY, headers=later)
    other = service.client.post(SYNTHESIZE, json={"text": "another"}, headers=later)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json["id"] != first.json["id"]
    assert (other.status_code, other.json["error_code"]) == (503, "queue_full")
    assert len(service.stores.jobs.list().jobs) == 2


def test_a_broker_that_is_away_is_503_and_no_job_is_left(service: Service):
    service.worker.is_broker_away = True

    answer = service.client.post(SYNTHESIZE, json=BODY)

    assert (answer.status_code, answer.json["error_code"]) == (503, "store_unavailable")
    assert service.stores.jobs.list().jobs == ()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.SYNTHESIS_FAILED, 500),
        (ErrorCode.AUDIO_TOO_SHORT, 422),
        (ErrorCode.DEADLINE_EXCEEDED, 504),
        (ErrorCode.INTERNAL, 500),
    ],
)
def test_what_a_job_failed_with_is_the_answer(service: Service, code: ErrorCode, status: int):
    service.worker.fail_with = ErrorInfo(code, "why")

    answer = service.client.post(SYNTHESIZE, json=BODY)

    assert (answer.status_code, answer.json["error_code"]) == (status, code.value)
    assert answer.json["job_id"].startswith("job_")


def test_json_without_its_content_type_is_understood(client: FlaskClient):
    data = json.dumps(BODY)

    assert client.post(SYNTHESIZE, data=data).status_code == 200
    form_type = "application/x-www-form-urlencoded"
    assert client.post(SYNTHESIZE, data=data, content_type=form_type).status_code == 200


def test_the_same_seed_gives_the_same_fingerprint_and_another_seed_another(service: Service):
    for seed in (7, 7, 8):
        service.client.post(SYNTHESIZE, json={**BODY, "seed": seed})

    assert len(service.worker.spoken) == 2


def test_a_url_with_two_slashes_or_one_at_the_end_is_served_not_redirected(client: FlaskClient):
    twice = {"PATH_INFO": "//api/v1//tts/synthesize"}
    assert client.post("/", json=BODY, environ_overrides=twice).status_code == 200
    assert client.post("/api/v1/tts/synthesize/", json=BODY).status_code == 200
