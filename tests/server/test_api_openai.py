"""OpenAI's dialect: what its clients send is understood, what they get has the form they know."""

import dataclasses
import io

import pytest
from api_service import Build, Service, wav_bytes
from flask.testing import FlaskClient

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import LEVELS, AudioFormat, Quality, SpeechRequest
from contract.settings import Settings

SPEECH = "/v1/audio/speech"
BODY = {"model": "tts-1", "input": "Hello there.", "voice": "alloy"}


def spoken(service: Service) -> SpeechRequest:
    """The request of the job that was made last."""
    return service.stores.jobs.list().jobs[0].request


@pytest.mark.parametrize(
    ("audio_format", "content_type"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("flac", "audio/flac"), ("wav", "audio/wav"), ("pcm", "audio/pcm")],
)
def test_the_answer_is_the_audio_in_the_form_asked_for(client: FlaskClient, audio_format: str, content_type: str):
    answer = client.post(SPEECH, json={**BODY, "response_format": audio_format})

    assert answer.status_code == 200
    assert answer.content_type == content_type
    assert answer.data == wav_bytes(0.5)


def test_without_a_format_it_is_mp3(service: Service):
    answer = service.client.post(SPEECH, json=BODY)

    assert answer.content_type == "audio/mpeg"
    assert spoken(service).response_format is AudioFormat.MP3


@pytest.mark.parametrize(
    ("model", "quality"),
    [
        ("tts-1", Quality.STANDARD),
        ("tts-1-hd", Quality.HIGH),
        ("gpt-4o-mini-tts", Quality.HIGH),
        ("gpt-4o-mini-tts-2025-12-15", Quality.HIGH),
        (None, Quality.HIGH),
    ],
)
def test_the_model_chooses_the_quality(service: Service, model: str | None, quality: Quality):
    answer = service.client.post(SPEECH, json={**BODY, "model": model})

    assert answer.status_code == 200
    assert "X-Warnings" not in answer.headers
    assert (spoken(service).grid, spoken(service).time_step) == LEVELS[quality]


def test_steps_that_are_given_win(service: Service):
    service.client.post(SPEECH, json={**BODY, "time_step": 5})

    assert (spoken(service).grid, spoken(service).time_step) == ("sway", 5)


@pytest.mark.parametrize("given", [{"quality": "draft"}, {"parameters": {"quality": "draft"}}])
def test_a_quality_that_is_given_wins(service: Service, given: dict):
    service.client.post(SPEECH, json={**BODY, **given})

    assert (spoken(service).grid, spoken(service).time_step) == LEVELS[Quality.DRAFT]


def test_what_has_no_effect_is_accepted_and_named(client: FlaskClient):
    answer = client.post(SPEECH, json={**BODY, "model": "kokoro", "instructions": "Whisper."})

    assert answer.status_code == 200
    assert "'kokoro' is not known" in answer.headers["X-Warnings"]
    assert "instructions have no effect" in answer.headers["X-Warnings"]


def test_what_has_no_effect_is_an_error_for_who_is_strict(client: FlaskClient):
    answer = client.post(SPEECH, json={**BODY, "instructions": "Whisper.", "strict": True})

    assert answer.status_code == 422
    assert answer.json["error"]["param"] == "instructions"


def test_every_known_voice_name_speaks_with_a_shipped_voice_and_they_differ(service: Service):
    used = {}
    for name in ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"):
        answer = service.client.post(SPEECH, json={**BODY, "voice": name, "input": name})
        assert answer.status_code == 200, name
        used[name] = spoken(service).voice_id

    assert used["alloy"] == "default"
    assert set(used.values()) == {"default", "voice_001"}


def test_a_registered_voice_wins_over_a_known_name(service: Service):
    upload(service, name="alloy")
    service.client.post(SPEECH, json=BODY)

    assert spoken(service).voice_id == "alloy"


def test_a_voice_may_be_an_object_with_an_id(service: Service):
    answer = service.client.post(SPEECH, json={**BODY, "voice": {"id": "voice_001"}})

    assert answer.status_code == 200
    assert spoken(service).voice_id == "voice_001"


def test_the_longest_text_is_4096_characters(client: FlaskClient):
    assert client.post(SPEECH, json={**BODY, "input": "a" * 4096}).status_code == 200
    refused = client.post(SPEECH, json={**BODY, "input": "a" * 4097})

    assert refused.status_code == 422
    assert refused.json["error"]["code"] == "text_too_long"
    assert refused.json["error"]["param"] == "input"
    assert "4096" in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({"model": "tts-1", "voice": "alloy"}, 422, "input", "invalid_value"),
        ({**BODY, "input": ""}, 422, "input", "invalid_value"),
        ({**BODY, "voice": "nobody"}, 404, "voice", "voice_not_found"),
        ({**BODY, "speed": 5}, 422, "speed", "invalid_value"),
        ({**BODY, "response_format": "midi"}, 422, "response_format", "invalid_value"),
        ({**BODY, "stream_format": "smoke"}, 422, "stream_format", "invalid_value"),
    ],
)
def test_errors_have_openais_form(client: FlaskClient, body: dict, status: int, param: str, code: str):
    answer = client.post(SPEECH, json=body)

    assert (answer.status_code, answer.content_type) == (status, "application/json")
    error = answer.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert param in error["message"] or code == "text_too_long"


def test_even_an_unknown_address_below_v1_answers_in_that_form(client: FlaskClient):
    for answer in (client.get("/v1/engines"), client.put("/v1/models"), client.post(SPEECH, data="{")):
        assert answer.json["error"]["type"] == "invalid_request_error"
    assert "error_code" in client.get("/api/v1/nothing").json


def test_our_own_failures_are_server_errors(service: Service):
    service.worker.fail_with = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no")
    answer = service.client.post(SPEECH, json=BODY)

    assert answer.status_code == 500
    assert answer.json["error"]["type"] == "server_error"


def test_a_missing_key_is_an_authentication_error(settings: Settings, build: Build):
    service = build(dataclasses.replace(settings, api=dataclasses.replace(settings.api, keys=("secret",))))

    assert service.client.get("/v1/models").json["error"]["type"] == "authentication_error"
    assert service.client.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "way"),
    [
        ({}, "streamed"),
        ({"response_format": "pcm"}, "streamed"),
        ({"response_format": "wav"}, "whole"),
        ({"response_format": "wav", "stream_format": "audio"}, "streamed"),
        ({"stream": False}, "whole"),
    ],
)
def test_what_is_sent_as_it_comes_where_nothing_is_said(service: Service, fields: dict, way: str):
    service.client.post(SPEECH, json={**BODY, **fields})

    assert service.stores.chunks.is_wanted(service.stores.jobs.list().jobs[0].id) is (way == "streamed")


def test_models_are_listed_and_shown(client: FlaskClient):
    listed = client.get("/v1/models").json

    assert listed["object"] == "list"
    assert {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"} <= {model["id"] for model in listed["data"]}
    assert client.get("/v1/models/tts-1").json["object"] == "model"
    assert client.get("/v1/models/gpt-9").status_code == 404


def upload(service: Service, name: str = "mine"):
    form = {"name": name, "consent": "cons_1", "audio_sample": (io.BytesIO(wav_bytes(2.0)), "a.wav")}
    return service.client.post("/v1/audio/voices", data=form)


def test_a_voice_is_made_listed_used_and_deleted(service: Service):
    made = upload(service, "My own voice")

    assert made.status_code == 200
    assert (made.json["object"], made.json["name"]) == ("audio.voice", "My own voice")
    assert service.stores.voices.get(made.json["id"]).consent == "cons_1"
    listed = service.client.get("/v1/audio/voices").json
    assert listed["data"] == listed["voices"]
    assert {"id": made.json["id"], "name": "My own voice"}.items() <= listed["voices"][-1].items()
    service.client.post(SPEECH, json={**BODY, "voice": "My own voice"})
    assert spoken(service).voice_id == made.json["id"]

    deleted = service.client.delete("/v1/audio/voices/My%20own%20voice")
    assert deleted.json == {"id": made.json["id"], "object": "audio.voice.deleted", "deleted": True}
    assert service.client.post(SPEECH, json={**BODY, "voice": "My own voice"}).status_code == 404


def test_a_voice_needs_a_recording(client: FlaskClient):
    none = client.post("/v1/audio/voices", data={"name": "x", "consent": "c"})
    from_text = client.post("/v1/audio/voices", data={"name": "x", "type": "prompt", "prompt": "deep"})

    assert (none.status_code, none.json["error"]["param"]) == (422, "audio_sample")
    assert (from_text.status_code, from_text.json["error"]["param"]) == (422, "type")


def test_a_shipped_voice_cannot_be_deleted(client: FlaskClient):
    refused = client.delete("/v1/audio/voices/default")

    assert refused.status_code == 403
    assert refused.json["error"]["type"] == "permission_error"
