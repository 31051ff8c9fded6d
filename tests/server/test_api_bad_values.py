"""Bad input on every field of the synthesis body: 4xx problem+json that names the field and its limit."""

import json
from typing import Any

import pytest
from api_service import Service

from contract.wire_schemas import ALIASES, SpeechSchema

BAD: dict[str, list[tuple[Any, str | None]]] = {  # Any: whatever a client may send
    "text": [("", "1000"), ("   ", "1000"), (None, None), (5, "1000"), (["a"], "1000"), ("字" * 1001, "1000")],
    "voice_id": [(5, "64"), ("v" * 65, "64"), ([], "64")],
    "speed": [(0.24, "0.25..4"), (4.1, "0.25..4"), ("fast", "0.25..4"), (True, "0.25..4"), ([1], "0.25..4")],
    "pitch": [(0.4, "0.5..2"), (2.1, "0.5..2"), ("high", "0.5..2"), ("inf", "0.5..2")],
    "emotion": [("e" * 65, "64"), (5, "64")],
    "time_step": [(0, "1..100"), (101, "1..100"), (1.5, "1..100"), ("many", "1..100"), (-3, "1..100")],
    "p_w": [(-0.1, "0..5"), (5.1, "0..5"), ("1,6", "0..5")],
    "t_w": [(-0.1, "0..10"), (10.1, "0..10"), ({}, "0..10")],
    "seed": [(-1, "0..9223372036854775807"), (2**63, "0..9223372036854775807"), ("x", "0..9223372036854775807")],
    "cache": [("perhaps", None), (7, None)],
    "strict": [("perhaps", None)],
    "quality": [("best", "draft, standard, high")],
    "response_format": [("ape", "wav, mp3, opus, flac, aac, pcm"), (5, "wav, mp3, opus, flac, aac, pcm")],
    "sample_rate": [(7999, "8000..48000"), (48_001, "8000..48000"), ("hi-fi", "8000..48000")],
    "stream": [("perhaps", None)],
    "stream_format": [("smoke", "audio, sse")],
}
IN_PARAMETERS = ("speed", "pitch", "emotion", "time_step", "p_w", "t_w")
CASES = [
    (spelling, value, limit)
    for name, bad in BAD.items()
    for spelling in (name, *ALIASES.get(name, ()))
    for value, limit in bad
]
LABELS = [f"{name}={str(value)[:12]}" for name, value, _ in CASES]


def test_the_table_has_every_field_of_the_body():
    assert BAD.keys() == SpeechSchema().fields.keys()


def assert_names(answer: Any, field: str, limit: str | None) -> None:
    assert 400 <= answer.status_code < 500
    assert answer.content_type == "application/problem+json"
    (error,) = json.loads(answer.data)["errors"]
    assert error["field"] == field
    assert field in error["message"]
    assert error.get("limit") == limit


@pytest.fixture(scope="module")
def service_(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """One service for the whole table: nothing of it gets as far as changing anything."""
    from api_service import serve, unlimited

    return serve(unlimited(tmp_path_factory.mktemp("bad")))


@pytest.mark.parametrize(("name", "value", "limit"), CASES, ids=LABELS)
def test_a_bad_value_is_refused_naming_field_and_limit(service_: Service, name: str, value: Any, limit: str | None):
    is_text = name in {"text", "input"}
    body = {name: value} if is_text else {"text": "hi", name: value}

    answer = service_.client.post("/api/v1/tts/synthesize", json=body)

    assert_names(answer, "text" if value is None and is_text else name, limit)
    assert service_.worker.sent == []


@pytest.mark.parametrize("name", IN_PARAMETERS)
def test_a_bad_value_in_parameters_is_named_by_its_place(service_: Service, name: str):
    value, limit = BAD[name][0]
    body = {"text": "hi", "parameters": {name: value}}

    assert_names(service_.client.post("/api/v1/tts/synthesize", json=body), f"parameters.{name}", limit)


@pytest.mark.parametrize("name", [name for name in BAD if name != "text"])
def test_a_bad_value_in_a_form_is_refused_the_same_way(service_: Service, name: str):
    value, limit = next((v, limit) for v, limit in BAD[name] if str(v) not in {"[]", "5", "True"} or name == "x")

    answer = service_.client.post("/api/v1/tts/synthesize_file", data={"text": "hi", name: str(value)})

    assert_names(answer, name, limit)


@pytest.mark.parametrize("value", ["text", 5, ["speed", 1]])
def test_parameters_that_are_no_object_are_refused(service_: Service, value: Any):
    answer = service_.client.post("/api/v1/tts/synthesize", json={"text": "hi", "parameters": value})

    assert_names(answer, "parameters", None)


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_two_spellings_of_a_field_with_different_values_are_400(service_: Service, name: str):
    values = {"text": ("a", "b"), "voice_id": ("a", "b"), "response_format": ("wav", "mp3")}.get(name, (2, 3))
    body = {"text": "hi", name: values[0], ALIASES[name][0]: values[1]}

    answer = service_.client.post("/api/v1/tts/synthesize", json=body)

    assert answer.status_code == 400
    assert answer.json["error_code"] == "conflicting_fields"


def test_several_bad_values_are_all_named(service_: Service):
    body = {"text": "hi", "speed": 9, "pitch": 9, "time_step": 0}
    answer = service_.client.post("/api/v1/tts/synthesize", json=body)

    assert {error["field"] for error in answer.json["errors"]} == {"speed", "pitch", "time_step"}


@pytest.mark.parametrize(
    "odd",
    [
        {"infer_timestep": "32.0"},
        {"steps": "20"},
        {"p_weight": "1"},
        {"t_w": "0.0"},
        {"p_w": "None"},
        {"parameters": {}},
        {"parameters": None},
        {"speed": None},
        {"seed": ""},
        {"cache": "False"},
        {"response_format": "MP3"},
        {"voice_id": {"id": "default"}},
    ],
)
def test_odd_forms_that_known_clients_send_are_understood(service: Service, odd: dict[str, Any]):
    assert service.client.post("/api/v1/tts/synthesize", json={"text": "hi", **odd}).status_code == 200
