"""POST /api/v1/tts/synthesize_file: what real clients put into their parts."""

import dataclasses
import io

import pytest
from api_service import WORKER, Build, Service, npy_bytes, wav_bytes
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage

from contract.settings import Settings

ROUTE = "/api/v1/tts/synthesize_file"


def part(data: bytes, name: str = "clip.wav", kind: str | None = None) -> FileStorage:
    return FileStorage(io.BytesIO(data), filename=name, content_type=kind)


def flac_bytes() -> bytes:
    return b"fLaC\x00\x00\x00\x22" + bytes(60)


def m4a_bytes() -> bytes:
    return b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom" + bytes(60)


def ogg_bytes() -> bytes:
    return b"OggS\x00\x02" + bytes(60)


def mp3_bytes() -> bytes:
    return b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(60)


def bare_mp3_bytes() -> bytes:
    return b"\xff\xfa\x90\x00" + bytes(60)


@pytest.mark.parametrize("name", ["voice_file", "audio_file", "reference_audio", "reference_audio_file"])
def test_the_clip_is_found_under_each_of_its_names(client: FlaskClient, name: str):
    answer = client.post(ROUTE, data={"text": "你好世界", "speed": "1.0", name: part(wav_bytes())})

    assert (answer.status_code, answer.content_type) == (200, "audio/wav")


@pytest.mark.parametrize("name", ["voice_latent", "latent_file"])
def test_the_latent_goes_with_the_job(service: Service, name: str):
    answer = service.client.post(ROUTE, data={"text": "hi", "voice_file": part(wav_bytes()), name: part(npy_bytes())})

    job = service.stores.jobs.get(answer.headers["X-Job-ID"])
    assert service.stores.blobs.get(job.reference_audio_blob) == wav_bytes()
    assert service.stores.blobs.get(job.reference_latent_blob) == npy_bytes()


@pytest.mark.parametrize("make", [wav_bytes, flac_bytes, m4a_bytes, ogg_bytes, mp3_bytes, bare_mp3_bytes])
@pytest.mark.parametrize("kind", [None, "audio/wav", "application/octet-stream"])
def test_content_is_sniffed_and_type_and_name_are_not_believed(client: FlaskClient, make, kind: str | None):
    clip = part(make(), name="%E5%A3%B0%E9%9F%B3.wav", kind=kind)

    assert client.post(ROUTE, data={"text": "hi", "voice_file": clip}).status_code == 200


@pytest.mark.parametrize("data", [b"", b"no audio at all", b"\x89PNG\r\n\x1a\n" + bytes(99), b"%PDF-1.4" + bytes(99)])
def test_what_is_not_audio_is_415(client: FlaskClient, data: bytes):
    answer = client.post(ROUTE, data={"text": "hi", "voice_file": part(data)})

    assert (answer.status_code, answer.json["error_code"]) == (415, "audio_unreadable")
    assert answer.json["errors"][0]["field"] == "voice_file"
    assert "mp3" in answer.json["errors"][0]["limit"]


def test_a_part_with_its_name_in_the_header_only_and_no_file_name_is_text(client: FlaskClient):
    """What `files={"text": (None, text)}` of requests sends."""
    boundary = "xyz"
    texts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"text": "你好", "speed": "1.0", "infer_timestep": "32.0", "p_w": "None"}.items()
    )
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="voice_file"; filename="声音.wav"\r\n\r\n'
    body = texts.encode() + head.encode() + wav_bytes() + f"\r\n--{boundary}--\r\n".encode()

    answer = client.post(ROUTE, data=body, content_type=f"multipart/form-data; boundary={boundary}")

    assert answer.status_code == 200


def test_a_text_part_sent_as_a_file_is_text(client: FlaskClient):
    data = {"text": part("你好".encode(), name="text.txt"), "voice_file": part(wav_bytes())}

    assert client.post(ROUTE, data=data).status_code == 200


def test_a_clip_without_a_file_name_is_told_what_to_do(client: FlaskClient):
    answer = client.post(ROUTE, data={"text": "hi", "voice_file": "RIFF...."})

    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "voice_file"


def test_without_a_clip_the_missing_field_is_named(client: FlaskClient):
    answer = client.post(ROUTE, data={"text": "hi"})

    assert answer.status_code == 422
    assert answer.json["errors"][0] == {
        "field": "voice_file",
        "message": "voice_file is needed",
        "problem": "missing",
    }


def test_a_registered_voice_does_instead_of_a_clip(client: FlaskClient):
    assert client.post(ROUTE, data={"text": "hi", "voice_id": "default"}).status_code == 200


def test_a_recording_goes_before_a_voice_id_and_the_answer_says_so(service: Service):
    data = {"text": "hi", "voice_id": "default", "voice_file": part(wav_bytes())}
    answer = service.client.post(ROUTE, data=data)

    assert "voice_id ignored" in answer.headers["X-Warnings"]
    assert service.stores.jobs.get(answer.headers["X-Job-ID"]).reference_audio_blob is not None


def test_a_clip_may_come_to_the_other_route_too(client: FlaskClient):
    data = {"text": "hi", "voice_file": part(wav_bytes())}

    assert client.post("/api/v1/tts/synthesize", data=data).status_code == 200


def test_without_encoder_a_clip_alone_is_422_at_once_and_with_latent_it_is_spoken(settings: Settings, build: Build):
    service = build(settings, worker=dataclasses.replace(WORKER, encoder_available=False))

    alone = service.client.post(ROUTE, data={"text": "hi", "voice_file": part(wav_bytes())})
    both = {"text": "hi", "voice_file": part(wav_bytes()), "voice_latent": part(npy_bytes())}

    assert (alone.status_code, alone.json["error_code"]) == (422, "latent_required")
    assert service.worker.sent == []
    assert service.client.post(ROUTE, data=both).status_code == 200


@pytest.mark.parametrize(
    "latent",
    [
        b"",
        b"not an npy",
        npy_bytes((12, 31)),
        npy_bytes((2, 12, 32)),
        npy_bytes((32,)),
        npy_bytes(descr="|O"),
        npy_bytes(value=float("nan")),
        npy_bytes()[:-4],
        npy_bytes() + b"more",
    ],
)
def test_a_latent_that_cannot_be_used_is_422(client: FlaskClient, latent: bytes):
    data = {"text": "hi", "voice_file": part(wav_bytes()), "voice_latent": part(latent, "v.npy")}
    answer = client.post(ROUTE, data=data)

    assert (answer.status_code, answer.json["error_code"]) == (422, "latent_invalid")


@pytest.mark.parametrize("descr", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("shape", [(1, 12, 32), (12, 32)])
def test_each_kind_of_latent_is_taken(client: FlaskClient, descr: str, shape: tuple[int, ...]):
    latent = part(npy_bytes(shape, descr=descr))
    data = {"text": "hi", "voice_file": part(wav_bytes()), "voice_latent": latent}

    assert client.post(ROUTE, data=data).status_code == 200


def test_a_clip_above_the_limit_is_413_naming_field_and_limit(settings: Settings, build: Build):
    storage = dataclasses.replace(settings.storage, max_voice_bytes=1000)
    service = build(dataclasses.replace(settings, storage=storage))

    answer = service.client.post(ROUTE, data={"text": "hi", "voice_file": part(wav_bytes())})

    assert (answer.status_code, answer.json["error_code"]) == (413, "upload_too_large")
    assert answer.json["errors"][0]["field"] == "voice_file"
    assert "1000" in answer.json["errors"][0]["limit"]


def test_a_latent_above_the_limit_is_413(settings: Settings, build: Build):
    storage = dataclasses.replace(settings.storage, max_latent_bytes=1000)
    service = build(dataclasses.replace(settings, storage=storage))
    data = {"text": "hi", "voice_file": part(wav_bytes()), "voice_latent": part(npy_bytes())}

    assert service.client.post(ROUTE, data=data).status_code == 413


def test_two_different_clips_are_400(client: FlaskClient):
    data = {"text": "hi", "voice_file": part(wav_bytes(0.4)), "audio_file": part(wav_bytes(0.5))}
    answer = client.post(ROUTE, data=data)

    assert (answer.status_code, answer.json["error_code"]) == (400, "conflicting_fields")


def test_a_field_sent_twice_with_different_values_is_400(client: FlaskClient):
    data = {"text": ["one", "two"], "voice_file": part(wav_bytes())}
    answer = client.post(ROUTE, data=data)

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "text")


def test_the_same_clip_and_text_again_come_from_the_cache(service: Service):
    for expected in ("miss", "hit"):
        answer = service.client.post(ROUTE, data={"text": "hi", "voice_file": part(wav_bytes())})
        assert answer.headers["X-Cache"] == expected
