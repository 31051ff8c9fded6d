"""What no worker can write or read is refused at once, by name; what one can is not."""

import dataclasses
import io

import pytest
from api_service import WORKER, Build, Service, wav_bytes
from flask.testing import FlaskClient

from contract.settings import Settings

SYNTHESIZE, FILE = "/api/v1/tts/synthesize", "/api/v1/tts/synthesize_file"
PLAIN = ("wav", "mp3", "opus", "flac", "pcm")
WITHOUT = dataclasses.replace(WORKER, writes=PLAIN, reads=("wav", "flac", "mp3", "ogg"))
WITH = dataclasses.replace(WORKER, name="worker1@test", writes=(*PLAIN, "aac"), reads=(*WITHOUT.reads, "m4a", "aac"))
M4A = b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom" + bytes(60)


def clip() -> dict[str, object]:
    return {"voice_file": (io.BytesIO(M4A), "a.m4a")}


@pytest.fixture
def plain(settings: Settings, build: Build) -> Service:
    return build(settings, worker=WITHOUT)


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (SYNTHESIZE, {"text": "hi", "response_format": "aac"}),
        (SYNTHESIZE, {"text": "hi", "response_format": "aac", "stream": True}),
        ("/api/v1/jobs", {"text": "hi", "response_format": "aac"}),
    ],
)
def test_a_format_no_worker_writes_is_refused_at_once(plain: Service, route: str, body: dict):
    answer = plain.client.post(route, json=body)

    assert (answer.status_code, answer.json["error_code"]) == (422, "unsupported_format")
    assert answer.json["errors"][0]["field"] == "response_format"
    assert answer.json["errors"][0]["limit"] == "wav, mp3, opus, flac, pcm"
    assert plain.worker.sent == []


def test_a_clip_no_worker_reads_is_refused_at_once(plain: Service):
    for route, form in ((FILE, {"text": "hi", **clip()}), ("/api/v1/voices", {"voice_id": "a", **clip()})):
        answer = plain.client.post(route, data=form)

        assert (answer.status_code, answer.json["error_code"]) == (422, "unsupported_format")
        assert "m4a" in answer.json["detail"]
        assert answer.json["errors"][0]["limit"] == "wav, flac, mp3, ogg"
    assert plain.worker.sent == []


def test_with_pyav_in_the_worker_both_are_served(settings: Settings, build: Build):
    client = build(settings, worker=WITH).client

    assert client.post(SYNTHESIZE, json={"text": "hi", "response_format": "aac"}).content_type == "audio/aac"
    assert client.post(FILE, data={"text": "hi", **clip()}).status_code == 200


def test_any_worker_may_get_the_job_so_all_must_be_able(settings: Settings, build: Build):
    service = build(settings, worker=WITH)
    service.stores.workers.heartbeat(WITHOUT, ttl_s=1000)

    answer = service.client.post(SYNTHESIZE, json={"text": "hi", "response_format": "aac"})

    assert answer.status_code == 422


def test_a_worker_that_says_nothing_is_believed_to_do_all(client: FlaskClient):
    assert client.post(SYNTHESIZE, json={"text": "hi", "response_format": "aac"}).status_code == 200


def test_info_lists_the_formats_that_can_be_had(plain: Service):
    assert plain.client.get("/api/v1/info").json["formats"] == list(PLAIN)


def test_the_language_of_a_refusal_is_the_callers(plain: Service):
    answer = plain.client.post(
        SYNTHESIZE, json={"text": "hi", "response_format": "aac"}, headers={"Accept-Language": "zh"}
    )

    assert "必须是以下之一" in answer.json["detail"]


def test_wav_is_always_read(plain: Service):
    form = {"text": "hi", "voice_file": (io.BytesIO(wav_bytes()), "a")}

    assert plain.client.post(FILE, data=form).status_code == 200
