"""Voices over HTTP: upload, list, look, hear, delete."""

import dataclasses
import io

import pytest
from api_service import WORKER, Build, Service, npy_bytes, until, wav_bytes
from flask.testing import FlaskClient

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import VoiceStatus
from contract.settings import Settings

UPLOAD = "/api/v1/voices/upload"
VOICES = "/api/v1/voices"


def form(voice_id: str = "custom_voice_001", clip: bytes | None = None, **more: object) -> dict[str, object]:
    data = wav_bytes() if clip is None else clip
    return {"voice_id": voice_id, "voice_file": (io.BytesIO(data), "sample_voice.wav"), **more}


@pytest.mark.parametrize("route", [UPLOAD, VOICES])
def test_an_upload_answers_201_once_the_voice_is_prepared(service: Service, route: str):
    answer = service.client.post(route, data=form(description="自定义女声样本"))

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{VOICES}/custom_voice_001"
    assert answer.json["success"] is True
    assert answer.json["voice_id"] == answer.json["id"] == answer.json["name"] == "custom_voice_001"
    assert (answer.json["type"], answer.json["status"]) == ("custom", "ready")
    assert answer.json["quality"] == {"duration_s": 3.0, "ok": True, "problems": [], "fixes": []}
    assert answer.json["description"] == "自定义女声样本"
    assert service.stores.voices.get("custom_voice_001").status is VoiceStatus.READY


def test_the_list_has_id_name_and_type_of_each_voice(client: FlaskClient):
    client.post(UPLOAD, data=form(name="小红"))

    voices = client.get(VOICES).json["voices"]

    assert {voice["id"] for voice in voices} == {"default", "voice_001", "custom_voice_001"}
    assert all(voice.keys() >= {"id", "name", "type"} for voice in voices)
    assert next(v for v in voices if v["id"] == "custom_voice_001")["name"] == "小红"


def test_an_uploaded_voice_speaks(client: FlaskClient):
    client.post(UPLOAD, data=form())

    answer = client.post("/api/v1/tts/synthesize", json={"text": "hi", "voice_id": "custom_voice_001"})

    assert answer.status_code == 200


def test_the_same_id_again_is_409_unless_replaced(service: Service):
    service.client.post(UPLOAD, data=form())

    again = service.client.post(UPLOAD, data=form())
    replaced = service.client.post(UPLOAD, data=form(clip=wav_bytes(0.7), replace="true"))

    assert (again.status_code, again.json["error_code"]) == (409, "voice_exists")
    assert (replaced.status_code, replaced.json["version"]) == (201, 2)
    assert service.client.get(f"{VOICES}/custom_voice_001/audio").data == wav_bytes(0.7)


def test_a_voice_left_behind_by_a_refused_recording_is_simply_replaced(service: Service):
    left = dataclasses.replace(service.stores.voices.get("default"), id="v", status=VoiceStatus.FAILED)
    service.stores.voices.create(left)

    assert service.client.post(UPLOAD, data=form(voice_id="v")).status_code == 201


def test_a_display_name_gets_an_id(client: FlaskClient):
    answer = client.post(UPLOAD, data=form(voice_id="小红 的 声音"))

    assert answer.status_code == 201
    assert answer.json["name"] == "小红 的 声音"
    assert answer.json["id"].startswith("voice_")


def test_a_refused_recording_leaves_no_voice_behind(service: Service):
    service.worker.refuse_voice = ErrorInfo(ErrorCode.AUDIO_TOO_SHORT, "0.2 s of speech; at least 1 s is needed")

    answer = service.client.post(UPLOAD, data=form())

    assert (answer.status_code, answer.json["error_code"]) == (422, "audio_too_short")
    assert answer.json["detail"] == "0.2 s of speech; at least 1 s is needed"
    assert service.client.get(f"{VOICES}/custom_voice_001").status_code == 404


def test_a_refused_replacement_leaves_the_voice_as_it_was(service: Service):
    service.client.post(UPLOAD, data=form())
    service.worker.refuse_voice = ErrorInfo(ErrorCode.AUDIO_TOO_SHORT, "too short")

    answer = service.client.post(UPLOAD, data=form(clip=wav_bytes(0.1), replace="true"))

    assert answer.status_code == 422
    assert service.client.get(f"{VOICES}/custom_voice_001").json["status"] == "ready"
    assert service.client.get(f"{VOICES}/custom_voice_001/audio").data == wav_bytes()


@pytest.mark.parametrize(
    ("data", "status", "field"),
    [
        ({"voice_id": "v"}, 422, "voice_file"),
        ({"voice_file": (io.BytesIO(wav_bytes()), "a.wav")}, 422, "voice_id"),
        (form(voice_id="v" * 129), 422, "voice_id"),
        (form(description="d" * 2001), 422, "description"),
        (form(replace="perhaps"), 422, "replace"),
        (form(clip=b"no audio"), 415, "voice_file"),
    ],
)
def test_a_bad_upload_names_the_field(client: FlaskClient, data: dict[str, object], status: int, field: str):
    answer = client.post(UPLOAD, data=data, content_type="multipart/form-data")

    assert answer.status_code == status
    assert answer.json["errors"][0]["field"] == field


@pytest.mark.parametrize("voice_id", ["../../etc/passwd", ".hidden", "a/b", "con\x00"])
def test_an_id_is_never_a_path(service: Service, voice_id: str):
    answer = service.client.post(UPLOAD, data=form(voice_id=voice_id))

    assert answer.status_code == 201
    assert answer.json["id"].startswith("voice_")


def test_without_encoder_a_recording_needs_its_latent(settings: Settings, build: Build):
    service = build(settings, worker=dataclasses.replace(WORKER, encoder_available=False))
    latent = (io.BytesIO(npy_bytes()), "voice.npy")

    assert service.client.post(UPLOAD, data=form()).json["error_code"] == "latent_required"
    assert service.client.post(UPLOAD, data=form(voice_latent=latent)).status_code == 201


def test_a_shipped_voice_is_neither_replaced_nor_deleted(client: FlaskClient):
    assert client.post(UPLOAD, data=form(voice_id="default", replace="1")).status_code == 403
    assert client.delete(f"{VOICES}/default").status_code == 403


def test_deleting_a_voice_erases_all_that_was_made_with_it(service: Service):
    service.client.post(UPLOAD, data=form())
    spoken = service.client.post("/api/v1/tts/synthesize", json={"text": "hi", "voice_id": "custom_voice_001"})
    job = service.stores.jobs.get(spoken.headers["X-Job-ID"])

    receipt = service.client.delete(f"{VOICES}/custom_voice_001").json

    assert receipt["success"] is True
    assert receipt["erased"] == {  # files: clip, prompt, the job's audio
        "files": 3,
        "cached_audio": 1,
        "jobs": 1,
        "jobs_cancelled": 0,
        "styles": ["neutral"],
    }
    assert not service.stores.blobs.exists(job.result.audio_blob)
    assert service.client.get(f"{VOICES}/custom_voice_001").status_code == 404
    assert service.client.delete(f"{VOICES}/custom_voice_001").status_code == 404


def test_the_recording_can_be_heard_whole_and_in_ranges(client: FlaskClient):
    client.post(UPLOAD, data=form())
    url = f"{VOICES}/custom_voice_001/audio"

    whole = client.get(url)

    assert (whole.data, whole.content_type) == (wav_bytes(), "audio/wav")
    assert client.get(url, headers={"Range": "bytes=0-3"}).data == b"RIFF"
    assert client.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_a_voice_that_is_being_prepared_is_503_for_a_request(service: Service):
    service.stores.voices.create(
        dataclasses.replace(service.stores.voices.get("default"), id="v", status=VoiceStatus.PREPARING)
    )

    answer = service.client.post("/api/v1/tts/synthesize", json={"text": "hi", "voice_id": "v"})

    assert (answer.status_code, answer.json["error_code"]) == (503, "voice_not_ready")


def test_an_upload_without_a_ready_worker_is_503_and_stores_nothing(settings: Settings, build: Build):
    service = build(settings, worker=None)

    assert service.client.post(UPLOAD, data=form()).status_code == 503
    assert service.stores.voices.get("custom_voice_001") is None


def test_a_broker_that_is_away_leaves_no_voice(service: Service):
    service.worker.is_broker_away = True

    assert service.client.post(UPLOAD, data=form()).status_code == 503
    until(lambda: service.stores.voices.get("custom_voice_001") is None)
