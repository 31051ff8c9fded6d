"""Jobs of many texts over HTTP: what is refused and how it is named, the state of each item, and its audio."""

import io
import json

import pytest
from api_service import Service, until, wav_bytes
from flask.testing import FlaskClient

from contract import blob_keys
from contract.errors import ErrorCode, ErrorInfo
from contract.records import items_from_bytes
from contract.schemas import JobStatus
from contract.stores.voice_erasure import VoiceErasure

JOBS = "/api/v1/jobs"


def finished(client: FlaskClient, items: list[object], **fields: object) -> dict[str, object]:
    job = client.post(JOBS, json={"items": items, **fields}).json
    while job["status"] not in {"done", "failed", "cancelled"}:
        job = client.get(f"{JOBS}/{job['id']}?wait=5").json
    return job


def requests_of(service: Service, job_id: str):
    return [item.request for item in items_from_bytes(service.stores.blobs.get(blob_keys.job_items(job_id)))]


def test_items_are_one_job_and_each_has_a_state_and_audio_of_its_own(client: FlaskClient):
    answer = client.post(JOBS, json={"items": ["first", {"text": "second"}, "bad third"]})
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{JOBS}/{answer.json['id']}"
    assert answer.json["progress"]["items_total"] == 3

    job = finished(client, ["first", {"text": "second"}, "bad third"])
    assert job["status"] == "done"
    assert [item["status"] for item in job["items"]] == ["done", "done", "failed"]
    assert (job["progress"]["items_done"], job["progress"]["items_failed"]) == (2, 1)
    assert (job["audio_url"], job["duration_s"]) == (None, 1.0)
    assert job["items"][2]["error_code"] == "synthesis_failed"
    assert job["items"][1]["audio_url"] == f"{JOBS}/{job['id']}/items/1/audio"
    heard = [client.get(item["audio_url"]).data for item in job["items"][:2]]
    assert heard == [wav_bytes(0.5) + b"first", wav_bytes(0.5) + b"second"]
    assert client.get(job["items"][0]["timestamps_url"]).json["segments"] == []


def test_an_items_audio_is_served_in_ranges_with_an_etag(client: FlaskClient):
    url = finished(client, ["one", "two"])["items"][1]["audio_url"]
    whole = client.get(url)
    part = client.get(url, headers={"Range": "bytes=4-9"})

    assert (part.status_code, part.data) == (206, whole.data[4:10])
    assert client.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert whole.headers["X-Audio-Duration"] == "0.500"


def test_one_item_can_be_looked_at_before_the_job_is_done(service: Service):
    job = service.client.post(JOBS, json={"items": ["early", "hold"]}).json
    until(lambda: service.client.get(f"{JOBS}/{job['id']}/items/0").json["status"] == "done")
    seen = service.client.get(f"{JOBS}/{job['id']}").json

    assert [item["status"] for item in seen["items"]] == ["done", "queued"]
    assert service.client.get(seen["items"][0]["audio_url"]).data.endswith(b"early")
    waiting = service.client.get(f"{JOBS}/{job['id']}/items/1/audio")
    assert (waiting.status_code, waiting.json["error_code"]) == (409, "conflict")
    service.worker.let_go.set()


def test_the_list_counts_items_and_does_not_name_them(client: FlaskClient):
    finished(client, ["one", "two"])
    (listed,) = client.get(JOBS).json["jobs"]
    assert "items" not in listed
    assert listed["progress"]["items_total"] == 2


@pytest.mark.parametrize(("tail", "status"), [("/audio", 409), ("/timestamps", 404)])
def test_the_job_itself_has_no_audio(client: FlaskClient, tail: str, status: int):
    job = finished(client, ["one"])
    assert client.get(f"{JOBS}/{job['id']}{tail}").status_code == status


@pytest.mark.parametrize("path", ["items/2", "items/2/audio", "items/x", "items/-1", "items/99999999999999999999"])
def test_an_item_that_is_not_there_is_404(client: FlaskClient, path: str):
    job = finished(client, ["one", "two"])
    answer = client.get(f"{JOBS}/{job['id']}/{path}")
    assert (answer.status_code, answer.is_json) == (404, True)


def test_a_failed_items_audio_is_its_error(client: FlaskClient):
    job = finished(client, ["fine", "bad"])
    answer = client.get(f"{JOBS}/{job['id']}/items/1/audio")
    assert answer.json["error_code"] == "synthesis_failed"


def test_items_take_over_what_stands_beside_them(service: Service):
    body = {
        "items": [
            "one",
            {"text": "two", "speed": 2.0, "voice_id": "voice_001"},
            {"input": "three", "parameters": {"p_w": 2}},
        ],
        "parameters": {"speed": 0.5},
        "response_format": "flac",
    }
    job = service.client.post(JOBS, json=body).json
    found = requests_of(service, job["id"])
    assert [each.text for each in found] == ["one", "two", "three"]
    assert [each.speed for each in found] == [0.5, 2.0, 0.5]
    assert found[2].p_w == 2.0
    assert {each.response_format.value for each in found} == {"flac"}
    assert {each.voice_id for each in found} == {"default", "voice_001"}
    assert job["voice_id"] is None, "they are spoken by two"


@pytest.mark.parametrize(
    ("items", "field", "limit"),
    [
        ([], "items", None),
        ("no list", "items", None),
        ({"text": "x"}, "items", None),
        (["x"] * 1001, "items", "1000"),
        (["ok", 7], "items[1]", None),
        (["ok", ""], "items[1].text", None),
        (["ok", {"speed": 1}], "items[1].text", None),
        (["ok", "ok", "ok", {"text": "x" * 1_000_001}], "items[3].text", "1000000"),
        (["ok", {"text": "x", "speed": 9}], "items[1].speed", "0.25..4"),
        ([{"input": "x", "parameters": {"p_weight": "many"}}], "items[0].parameters.p_weight", "0..5"),
        (["ok", {"text": "x", "voice_id": "nobody"}], "items[1].voice_id", None),
        (["ok", {"text": "x", "emotion": "furious", "strict": True}], "items[1].emotion", None),
        (["ok", {"text": "x", "colour": 1, "strict": True}], "items[1].colour", None),
        (["x" * 600_000] * 2, "items", "1000000"),
    ],
)
def test_a_bad_item_is_refused_with_its_place_and_limit(client: FlaskClient, items, field: str, limit: str | None):
    answer = client.post(JOBS, json={"items": items})

    assert answer.status_code in {404, 422}
    (named,) = answer.json["errors"]
    assert named["field"] == field
    assert field in answer.json["error"] or answer.json["error_code"] in {"text_too_long", "voice_not_found"}
    if limit is not None:
        assert named["limit"].startswith(limit)


def test_items_beside_text_are_a_conflict(client: FlaskClient):
    answer = client.post(JOBS, json={"items": ["a"], "text": "b"})
    assert (answer.status_code, answer.json["error_code"]) == (400, "conflicting_fields")


def test_a_refused_batch_leaves_nothing_behind(service: Service):
    service.worker.is_broker_away = True
    assert service.client.post(JOBS, json={"items": ["a", "b"]}).status_code == 503
    assert service.stores.jobs.list().jobs == ()
    assert list(service.stores.blobs.folders("jobs")) == []


def test_unknown_fields_of_items_are_named_in_the_warning(client: FlaskClient):
    answer = client.post(JOBS, json={"items": ["a", {"text": "b", "colour": "red"}]})
    assert "items[1].colour" in answer.headers["X-Warnings"]


def test_a_form_brings_items_as_json_and_a_recording_for_all(service: Service):
    data = {"items": json.dumps(["one", "two"]), "voice_file": (io.BytesIO(wav_bytes()), "a.wav")}
    answer = service.client.post(JOBS, data=data)

    assert answer.status_code == 202
    assert {each.voice_id for each in requests_of(service, answer.json["id"])} == {"upload"}
    assert service.stores.jobs.get(answer.json["id"]).reference_audio_blob is not None


def test_admission_counts_all_items_together(service: Service):
    service.worker.hold = True
    single = service.client.post(JOBS, json={"text": "one sentence like any other"}).json
    batch = service.client.post(JOBS, json={"items": ["one sentence like any other"] * 50}).json

    assert batch["estimate_s"] == pytest.approx(50 * single["estimate_s"])
    assert service.stores.jobs.depth().queued_audio_s == pytest.approx(51 * single["estimate_s"])
    assert batch["characters"] == 50 * single["characters"]


def test_an_idempotency_key_makes_a_resent_batch_the_first_one(service: Service):
    headers = {"Idempotency-Key": "batch-1"}
    first, again = (service.client.post(JOBS, json={"items": ["a", "b"]}, headers=headers).json for _ in range(2))
    other = service.client.post(JOBS, json={"items": ["a", "c"]}, headers=headers)

    assert again["id"] == first["id"]
    assert other.status_code == 409
    assert len(service.worker.sent) == 1
    assert [folder.name for folder in service.stores.blobs.folders("jobs")] == [first["id"]]


def test_equal_batches_are_each_their_own(service: Service):
    service.worker.hold = True
    first, second = (service.client.post(JOBS, json={"items": ["a", "b"]}).json for _ in range(2))
    service.client.delete(f"{JOBS}/{first['id']}")
    service.worker.let_go.set()
    until(lambda: service.stores.jobs.get(second["id"]).status is JobStatus.DONE)
    assert service.stores.jobs.get(first["id"]).status is JobStatus.CANCELLED


def test_a_cancelled_batch_shows_what_became_of_each_item(service: Service):
    job = service.client.post(JOBS, json={"items": ["early", "hold"]}).json
    until(lambda: len(service.stores.jobs.items(job["id"])) == 1)
    claim = service.stores.jobs.get(job["id"])
    service.client.delete(f"{JOBS}/{job['id']}")
    assert service.stores.jobs.cancelled(job["id"], claim.token)

    seen = service.client.get(f"{JOBS}/{job['id']}").json
    assert [item["status"] for item in seen["items"]] == ["done", "cancelled"]
    assert service.client.get(f"{JOBS}/{job['id']}/items/1/audio").json["error_code"] == "cancelled"
    assert service.client.delete(f"{JOBS}/{job['id']}").json["deleted"] is True
    assert service.client.get(f"{JOBS}/{job['id']}/items/0").status_code == 404


def test_a_batch_that_fails_fails_every_item_that_was_not_done(service: Service):
    service.worker.fail_with = ErrorInfo(ErrorCode.WORKER_LOST, "gone")
    job = finished(service.client, ["a", "b"])
    assert {item["error_code"] for item in job["items"]} == {"worker_lost"}


def test_events_tell_of_each_item_as_it_ends(service: Service):
    job = service.client.post(JOBS, json={"items": ["early", "bad", "hold"]}).json
    until(lambda: len(service.stores.jobs.items(job["id"])) == 2)
    answer = service.client.get(f"{JOBS}/{job['id']}/events", buffered=False)
    pieces, told = iter(answer.response), b""
    while told.count(b"event: item") < 2:
        told += next(pieces)
    service.worker.let_go.set()
    told += b"".join(pieces)

    events = [block.split("\n") for block in told.decode().split("\n\n") if "event: item" in block]
    items = [json.loads(next(line for line in lines if line.startswith("data: "))[6:]) for lines in events]
    assert [(item["index"], item["status"]) for item in items] == [(0, "done"), (1, "failed"), (2, "done")]
    last = told.decode().strip().split("\n\n")[-1]
    assert "event: done" in last
    assert len(json.loads(last.split("data: ")[1])["items"]) == 3


def test_another_key_sees_no_items(service: Service):
    job = finished(service.client, ["a"])
    assert service.client.get(f"{JOBS}/job_other/items/0").status_code == 404
    assert service.client.get(f"{JOBS}/{job['id']}/items/0").status_code == 200


def test_erasing_a_voice_erases_the_batches_it_spoke_in(service: Service):
    job = finished(service.client, ["a", {"text": "b", "voice_id": "voice_001"}])
    VoiceErasure(service.stores).erase(service.stores.voices.get("voice_001"))
    for item in job["items"]:
        assert item["index"] == 0 or service.client.get(item["audio_url"]).status_code != 200
