"""Jobs over HTTP: submit, list, look with long-poll, fetch, cancel, erase."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_service import Service, until, waiting_for_jobs, wav_bytes
from flask.testing import FlaskClient

from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import JobStatus

JOBS = "/api/v1/jobs"
BODY = {"text": "这一章很长。" * 400, "voice_id": "default"}


def finished(client: FlaskClient, body: dict[str, object] = BODY) -> dict[str, object]:
    job = client.post(JOBS, json=body).json
    while job["status"] not in {"done", "failed", "cancelled"}:
        job = client.get(f"{JOBS}/{job['id']}?wait=5").json
    return job


def test_submitting_answers_202_with_where_to_look(client: FlaskClient):
    answer = client.post(JOBS, json={**BODY, "metadata": {"chapter": 3}})

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{JOBS}/{answer.json['id']}"
    assert answer.json["status"] in {"queued", "running", "done"}
    assert answer.json["metadata"] == {"chapter": 3}
    assert answer.json["created_at"].endswith("Z")
    assert answer.json["priority"] == "batch"


def test_a_done_job_says_where_its_audio_is(client: FlaskClient):
    job = finished(client)

    assert job["status"] == "done"
    assert job["audio_url"] == f"{JOBS}/{job['id']}/audio"
    assert (job["duration_s"], job["rtf"], job["cache"]) == (0.5, 0.5, "miss")
    assert job["predicted_s"] == 0.48
    assert job["progress"]["fraction"] == 1.0
    assert client.get(job["audio_url"]).data == wav_bytes(0.5)


def test_a_job_never_shows_its_text(client: FlaskClient):
    assert "这一章" not in client.get(f"{JOBS}/{finished(client)['id']}").text


def test_the_audio_is_served_in_ranges(client: FlaskClient):
    url = finished(client)["audio_url"]
    whole = client.get(url)

    part = client.get(url, headers={"Range": "bytes=10-19"})
    tail = client.get(url, headers={"Range": "bytes=-4"})

    assert whole.headers["Accept-Ranges"] == "bytes"
    assert (part.status_code, part.data) == (206, whole.data[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.data)}"
    assert tail.data == whole.data[-4:]


def test_a_range_outside_the_audio_is_416(client: FlaskClient):
    answer = client.get(finished(client)["audio_url"], headers={"Range": "bytes=9999999-"})

    assert (answer.status_code, answer.json["error_code"]) == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(wav_bytes(0.5))}"


def test_an_etag_saves_sending_the_audio_again(client: FlaskClient):
    url = finished(client)["audio_url"]
    etag = client.get(url).headers["ETag"]

    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(url, headers={"If-Range": etag, "Range": "bytes=0-3"}).status_code == 206
    assert client.get(url, headers={"If-Range": '"other"', "Range": "bytes=0-3"}).status_code == 200


def test_head_tells_the_length_of_the_audio(client: FlaskClient):
    answer = client.head(finished(client)["audio_url"])

    assert (answer.status_code, answer.data) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(wav_bytes(0.5))


def test_the_audio_of_an_unfinished_job_is_409(service: Service):
    service.worker.hold = True
    job = service.client.post(JOBS, json=BODY).json

    answer = service.client.get(f"{JOBS}/{job['id']}/audio")

    assert (answer.status_code, answer.json["error_code"]) == (409, "conflict")


def test_the_audio_of_a_failed_job_is_its_error(service: Service):
    service.worker.fail_with = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no speech")
    job = finished(service.client)

    assert (job["status"], job["error_code"]) == ("failed", "synthesis_failed")
    assert service.client.get(f"{JOBS}/{job['id']}/audio").json["error_code"] == "synthesis_failed"


def test_a_long_poll_answers_as_soon_as_the_state_changes(service: Service):
    service.worker.hold = True
    job = service.client.post(JOBS, json=BODY).json
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.client.get, f"{JOBS}/{job['id']}?wait=9")
        until(lambda: waiting_for_jobs(service) == 1)
        service.worker.let_go.set()
        seen = answer.result(5).json

    assert seen["status"] in {"running", "done"}
    assert waiting_for_jobs(service) == 0


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_long_poll_answers_when_its_time_is_up(service: Service, how: str):
    service.worker.hold = True
    job = service.client.post(JOBS, json=BODY).json
    query, headers = ("?wait=0.1", {}) if how == "query" else ("", {"Prefer": "wait=0.1"})

    answer = service.client.get(f"{JOBS}/{job['id']}{query}", headers=headers)

    assert (answer.status_code, answer.json["status"]) == (200, "queued")
    assert answer.json["queue_position"] == 0


def test_deleting_a_waiting_job_cancels_it_and_asking_again_erases_it(service: Service):
    service.worker.hold = True
    job = service.client.post(JOBS, json=BODY).json
    url = f"{JOBS}/{job['id']}"

    cancelled = service.client.delete(url).json
    erased = service.client.delete(url).json

    assert (cancelled["status"], cancelled["deleted"]) == ("cancelled", False)
    assert erased["deleted"] is True
    assert service.client.get(url).status_code == 404


def test_deleting_a_done_job_erases_its_audio(service: Service):
    job = finished(service.client)
    blob = service.stores.jobs.get(job["id"]).result.audio_blob

    assert service.client.delete(f"{JOBS}/{job['id']}").json["files"] == 1
    assert not service.stores.blobs.exists(blob)


@pytest.mark.parametrize(("method", "tail"), [("get", ""), ("get", "/audio"), ("delete", "")])
def test_an_unknown_job_is_404(client: FlaskClient, method: str, tail: str):
    for job_id in ("job_nothing", "job_0123456789abcdef01234567", "a:chunks", "%00", "s:all"):
        answer = getattr(client, method)(f"{JOBS}/{job_id}{tail}")

        assert (answer.status_code, answer.json["error_code"]) == (404, "job_not_found")


def test_the_list_is_newest_first_and_paged(service: Service):
    ids = [finished(service.client, {"text": f"number {n}"})["id"] for n in range(3)]

    first = service.client.get(f"{JOBS}?limit=2").json
    rest = service.client.get(f"{JOBS}?limit=2&cursor={first['next_cursor']}").json

    assert [job["id"] for job in first["jobs"] + rest["jobs"]] == ids[::-1]
    assert rest["next_cursor"] is None


def test_the_list_can_be_of_one_status(service: Service):
    finished(service.client)

    assert service.client.get(f"{JOBS}?status=queued").json["jobs"] == []
    assert len(service.client.get(f"{JOBS}?status=done").json["jobs"]) == 1


def test_the_list_can_be_of_a_time_a_voice_and_a_priority(service: Service):
    first = finished(service.client, {"text": "one", "voice_id": "voice_001", "priority": "interactive"})
    second = finished(service.client, {"text": "two"})

    def found(**query: str) -> list[str]:
        return [job["id"] for job in service.client.get(JOBS, query_string=query).json["jobs"]]

    assert found(voice_id="voice_001") == [first["id"]]
    assert found(priority="batch") == [second["id"]]
    assert found(created_from="2020-01-01T00:00:00+02:00", status="done") == [second["id"], first["id"]]
    assert found(created_before="2020-01-01") == []
    unix_s = service.stores.jobs.get(second["id"]).created_at
    assert found(created_from=repr(unix_s)) == [second["id"]]
    assert found(created_before=repr(unix_s)) == [first["id"]]
    assert found(created_from="2020-01-01T00:00:00 02:00") == [second["id"], first["id"]], "a + that came as a blank"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=201", "limit"),
        ("status=asleep", "status"),
        ("cursor=x", "cursor"),
        ("cursor=__", "cursor"),
        ("created_from=yesterday", "created_from"),
        ("created_before=-1", "created_before"),
        ("created_before=nan", "created_before"),
        ("created_from=99999-01-01T00:00:00Z", "created_from"),
        ("voice_id=a/b", "voice_id"),
        ("priority=vip", "priority"),
    ],
)
def test_a_bad_query_is_422_naming_it(client: FlaskClient, query: str, field: str):
    answer = client.get(f"{JOBS}?{query}")

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("wait", ["x", "-1", "inf", "nan"])
def test_a_bad_wait_is_422(client: FlaskClient, wait: str):
    answer = client.get(f"{JOBS}/{finished(client)['id']}?wait={wait}")

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "wait")


def test_an_idempotency_key_makes_a_resend_return_the_first_job(service: Service):
    headers = {"Idempotency-Key": "chapter-3"}
    first = service.client.post(JOBS, json=BODY, headers=headers).json
    until(lambda: service.stores.jobs.get(first["id"]).status is JobStatus.DONE)

    again = service.client.post(JOBS, json=BODY, headers=headers)

    assert (again.status_code, again.json["id"]) == (202, first["id"])
    assert len(service.worker.sent) == 1


def test_a_job_that_another_submission_was_told_of_is_not_taken_back(service: Service, monkeypatch: pytest.MonkeyPatch):
    headers = {"Idempotency-Key": "chapter-3"}
    told = []

    def refuse(job):
        monkeypatch.undo()
        told.append(service.client.post(JOBS, json=BODY, headers=headers))
        raise ServiceError(ErrorCode.STORE_UNAVAILABLE)

    monkeypatch.setattr(service.worker, "synthesize", refuse)
    refused = service.client.post(JOBS, json=BODY, headers=headers)
    again = service.client.post(JOBS, json=BODY, headers=headers)

    assert (refused.status_code, told[0].status_code, again.status_code) == (503, 202, 202)
    assert service.stores.jobs.get(told[0].json["id"]) is not None
    assert again.json["id"] == told[0].json["id"]


def test_an_idempotency_key_with_another_body_is_409(client: FlaskClient):
    headers = {"Idempotency-Key": "chapter-3"}
    client.post(JOBS, json=BODY, headers=headers)

    answer = client.post(JOBS, json={"text": "other"}, headers=headers)

    assert (answer.status_code, answer.json["error_code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "hi", "priority": "vip"}, "priority"),
        ({"text": "hi", "deadline_s": 0}, "deadline_s"),
        ({"text": "hi", "metadata": [1]}, "metadata"),
        ({"items": []}, "items"),
        ({"ssml": "<speak/>"}, "ssml"),
        ({"text": "x" * 1_000_001}, "text"),
    ],
)
def test_a_bad_job_is_422_naming_the_field(client: FlaskClient, body: dict[str, object], field: str):
    answer = client.post(JOBS, json=body)

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


def test_a_job_may_bring_its_own_recording(service: Service):
    from io import BytesIO

    answer = service.client.post(JOBS, data={"text": "hi", "voice_file": (BytesIO(wav_bytes()), "a.wav")})

    assert answer.status_code == 202
    assert answer.json["voice_id"] is None


def test_many_long_polls_leave_nothing_behind(service: Service):
    service.worker.hold = True
    job = service.client.post(JOBS, json=BODY).json
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(service.client.get, f"{JOBS}/{job['id']}?wait=0.2") for _ in range(20)]
        assert {answer.result(10).status_code for answer in answers} == {200}

    assert waiting_for_jobs(service) == 0
    assert sum(thread.name == "wait-room" for thread in threading.enumerate()) <= 1
