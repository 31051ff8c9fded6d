"""Bodies of requests: aliases, odd forms, ranges, named mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import Language, describe
from contract.schemas import LEVELS, AudioFormat, Priority, Quality, SpeechRequest, StreamFormat
from contract.settings import LimitSettings
from contract.wire import parse_job, parse_speech
from contract.wire_voices import parse_voice_upload


def parse(**body):
    return parse_speech(body, max_text=20).value


def refused(body, call=None):
    with pytest.raises(ServiceError) as caught:
        (call or (lambda b: parse_speech(b, max_text=20)))(body)
    return caught.value


def test_text_alone_is_a_whole_request():
    assert parse(text="你好") == SpeechRequest(text="你好")


def test_parameters_may_sit_inside_on_top_or_be_absent():
    expected = SpeechRequest(text="a", speed=1.5, emotion="happy")
    assert parse(text="a", parameters={"speed": 1.5, "emotion": "happy"}) == expected
    assert parse(text="a", speed=1.5, emotion="happy") == expected
    assert parse(text="a", speed="1.5", parameters='{"emotion": "happy"}') == expected
    for nothing in ({}, None, "", "None", "{}"):
        assert parse(text="a", parameters=nothing) == SpeechRequest(text="a")


@pytest.mark.parametrize(
    ("name", "given_as", "field", "value"),
    [
        ("input", "hello", "text", "hello"),
        ("voice", "bob", "voice_id", "bob"),
        ("voice", {"id": "bob"}, "voice_id", "bob"),
        ("time_step", "20", "time_step", 20),
        ("time_step", "32.0", "time_step", 32),
        ("steps", 32.0, "time_step", 32),
        ("infer_timestep", "20", "time_step", 20),
        ("steps", 20, "time_step", 20),
        ("time_step", "None", "time_step", 32),
        ("time_step", "", "time_step", 32),
        ("steps", None, "time_step", 32),
        ("p_w", "1", "p_w", 1.0),
        ("p_weight", "0.0", "p_w", 0.0),
        ("text_guidance", 2, "p_w", 2.0),
        ("t_weight", " 3.5 ", "t_w", 3.5),
        ("speaker_guidance", "10", "t_w", 10.0),
        ("speed", "0.25", "speed", 0.25),
        ("pitch", "2", "pitch", 2.0),
        ("seed", "9007199254740993", "seed", 9007199254740993),
        ("seed", 0, "seed", 0),
        ("cache", "False", "cache", False),
        ("cache", "0", "cache", False),
        ("cache", 1, "cache", True),
        ("strict", "true", "strict", True),
        ("format", "MP3", "response_format", AudioFormat.MP3),
        ("response_format", ".flac", "response_format", AudioFormat.FLAC),
        ("response_format", "ogg", "response_format", AudioFormat.OPUS),
        ("sample_rate", "16000", "sample_rate", 16_000),
        ("stream", "on", "stream", True),
        ("stream_format", "sse", "stream_format", StreamFormat.SSE),
        ("emotion", "None", "emotion", "neutral"),
        ("voice_id", "None", "voice_id", "default"),
    ],
)
def test_each_spelling_and_odd_form_is_understood(name, given_as, field, value):
    body = {"text": "a", name: given_as} if name != "input" else {name: given_as}
    found = parse_speech(body, max_text=20)
    assert getattr(found.value, field) == value
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("field", "low", "high", "step"),
    [
        ("speed", 0.25, 4.0, 0.01),
        ("pitch", 0.5, 2.0, 0.01),
        ("time_step", 1, 100, 1),
        ("p_w", 0, 5, 0.01),
        ("t_w", 0, 10, 0.01),
        ("sample_rate", 8000, 48_000, 1),
    ],
)
def test_a_range_holds_at_its_ends_and_names_field_and_limit_beyond(field, low, high, step):
    assert getattr(parse(text="a", **{field: low}), field) == low
    assert getattr(parse(text="a", **{field: str(high)}), field) == high
    for outside in (low - step, high + step):
        error = refused({"text": "a", "parameters": {field: outside}})
        assert error.code is ErrorCode.INVALID_VALUE
        (problem,) = error.errors
        assert problem.field == f"parameters.{field}"
        assert problem.limit == f"{low:g}..{high:g}"
        assert problem.problem is FieldProblem.OUT_OF_RANGE
        assert f"{low:g} and {high:g}" in describe(error)
        assert f"{low:g} – {high:g}" in describe(error, Language.ZH)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("speed", "fast", FieldProblem.NOT_NUMBER),
        ("speed", True, FieldProblem.NOT_NUMBER),
        ("speed", "inf", FieldProblem.NOT_NUMBER),
        ("speed", [1], FieldProblem.NOT_NUMBER),
        ("time_step", "3.5", FieldProblem.NOT_INTEGER),
        ("time_step", "0.0", FieldProblem.OUT_OF_RANGE),
        ("time_step", "9" * 400, FieldProblem.NOT_INTEGER),
        ("seed", -1, FieldProblem.OUT_OF_RANGE),
        ("seed", 2**63, FieldProblem.OUT_OF_RANGE),
        ("cache", "maybe", FieldProblem.NOT_BOOLEAN),
        ("quality", "best", FieldProblem.NOT_A_CHOICE),
        ("response_format", "midi", FieldProblem.NOT_A_CHOICE),
        ("emotion", "x" * 65, FieldProblem.TOO_LONG),
        ("emotion", 5, FieldProblem.NOT_TEXT),
        ("voice_id", ["a"], FieldProblem.NOT_TEXT),
        ("text", 5, FieldProblem.NOT_TEXT),
        ("text", "\ud800", FieldProblem.NOT_TEXT),
        ("text", " \n", FieldProblem.EMPTY),
        ("text", "", FieldProblem.EMPTY),
        ("parameters", [1], FieldProblem.NOT_OBJECT),
        ("parameters", "{", FieldProblem.NOT_OBJECT),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(name, value, problem):
    error = refused({"text": "a", name: value})
    assert error.code is ErrorCode.INVALID_VALUE
    assert [(e.field, e.problem) for e in error.errors] == [(name, problem)]


def test_a_text_that_is_too_long_tells_its_length_and_the_limit():
    error = refused({"input": "长" * 21})
    assert error.code is ErrorCode.TEXT_TOO_LONG
    assert error.params == {"length": 21, "limit": "20"}
    assert error.errors[0].field == "input"
    assert parse(text="长" * 20).text == "长" * 20


def test_a_text_that_reads_none_is_a_text():
    assert parse(text="None").text == "None"
    assert refused({"text": None}).errors[0].problem is FieldProblem.MISSING
    assert refused({}).errors[0].problem is FieldProblem.MISSING


def test_all_mistakes_are_named_at_once():
    error = refused({"text": "a", "speed": 9, "infer_timestep": 0, "cache": "x"})
    assert [e.field for e in error.errors] == ["speed", "infer_timestep", "cache"]


def test_two_spellings_may_agree_but_not_differ():
    assert parse(text="a", time_step=20, infer_timestep="20.0", parameters={"steps": 20}).time_step == 20
    assert parse(text="a", time_step=20, infer_timestep="None").time_step == 20
    error = refused({"text": "a", "time_step": 20, "infer_timestep": "21"})
    assert error.code is ErrorCode.CONFLICTING_FIELDS
    assert (error.errors[0].field, error.errors[0].limit) == ("infer_timestep", "time_step")
    error = refused({"text": "a", "speed": 1, "parameters": {"speed": 2}})
    assert error.code is ErrorCode.CONFLICTING_FIELDS


def test_unknown_fields_are_named_and_refused_only_when_strict():
    body = {"text": "a", "model": "tts-1", "parameters": {"volume": 3}, "voice_file": "x"}
    assert parse_speech(body, max_text=20).unknown == ("model", "parameters.volume")
    assert parse_speech(body, max_text=20, ignored=frozenset({"model"})).unknown == ("parameters.volume",)
    error = refused({**body, "strict": True})
    assert [e.field for e in error.errors] == ["model", "parameters.volume"]


def test_a_strangers_field_name_is_fit_for_a_header():
    body = {"text": "a", "x\r\nSet-Cookie: y": 1, "声音\x1b": 2, **{f"f{n}": n for n in range(50)}}
    found = parse_speech(body, max_text=20).unknown
    assert len(found) == 20
    assert all(name.isascii() and name.isprintable() for name in found)


@pytest.mark.parametrize("quality", list(Quality))
def test_a_quality_is_a_grid_and_a_step_count(quality):
    asked = parse(text="a", quality=quality.value.upper())
    assert asked.quality is quality
    assert (asked.grid, asked.time_step) == LEVELS[quality]


def test_better_qualities_take_more_steps_and_the_best_is_what_nobody_asks_for():
    assert [LEVELS[quality].time_step for quality in (Quality.DRAFT, Quality.STANDARD, Quality.HIGH)] == [8, 16, 32]
    assert (parse(text="a").grid, parse(text="a").time_step) == LEVELS[Quality.HIGH]


def test_an_explicit_step_count_wins_over_a_quality():
    asked = parse(text="a", quality="draft", steps=50)
    assert (asked.grid, asked.time_step) == (SpeechRequest("a").grid, 50)


def test_no_client_names_a_grid_itself():
    assert parse(text="a", grid="uniform").grid == SpeechRequest("a").grid


def test_a_dialect_brings_its_own_defaults():
    defaults = SpeechRequest(text="", response_format=AudioFormat.MP3)
    assert parse_speech({"input": "a"}, max_text=9, defaults=defaults).value.response_format is AudioFormat.MP3


LEAVES = st.sampled_from([None, True, False, 0, -1, 1e308, float("nan"), 10**400, "", "a", "1", "None", "{", "é声"])
BODIES = st.dictionaries(
    st.sampled_from(["text", "input", "speed", "steps", "p_w", "seed", "cache", "parameters", "voice", "x"]),
    LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(["id", "seed", "x"]), LEAVES),
)


@given(BODIES)
def test_whatever_comes_is_a_request_or_a_named_mistake(body):
    try:
        found = parse_speech(body, max_text=100).value
    except ServiceError as mistake:
        found = mistake
    if isinstance(found, ServiceError):
        assert found.errors
        assert all(describe(found, language) for language in Language)
    else:
        assert found.text.strip()
        assert 0.25 <= found.speed <= 4


def test_a_job_may_be_a_text_with_its_own_wishes():
    body = {
        "text": "长" * 5000,
        "priority": "interactive",
        "deadline_s": "60",
        "webhook_url": "https://example.org/x",
        "metadata": '{"book": 1}',
        "speed": "2",
    }
    found = parse_job(body, limits=LimitSettings()).value
    assert (found.priority, found.deadline_s, found.metadata) == (Priority.INTERACTIVE, 60.0, {"book": 1})
    assert found.request.speed == 2.0
    assert len(found.request.text) == 5000


def test_items_take_what_they_do_not_say_from_the_job():
    found = parse_job({"items": ["a", {"text": "b", "voice": "bob"}], "speed": 2}, limits=LimitSettings()).value
    assert [(i.text, i.voice_id, i.speed) for i in found.items] == [("a", "default", 2.0), ("b", "bob", 2.0)]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, ErrorCode.INVALID_VALUE, "text"),
        ({"text": "a", "items": ["b"]}, ErrorCode.CONFLICTING_FIELDS, "text"),
        ({"items": []}, ErrorCode.INVALID_VALUE, "items"),
        ({"items": "abc"}, ErrorCode.INVALID_VALUE, "items"),
        ({"items": ["a", 5]}, ErrorCode.INVALID_VALUE, "items[1]"),
        ({"items": ["a", {"text": "b", "speed": 9}]}, ErrorCode.INVALID_VALUE, "items[1].speed"),
        ({"items": ["a"] * 4}, ErrorCode.INVALID_VALUE, "items"),
        ({"text": "a" * 31}, ErrorCode.TEXT_TOO_LONG, "text"),
        ({"text": "a", "deadline_s": 0}, ErrorCode.INVALID_VALUE, "deadline_s"),
        ({"text": "a", "metadata": "x"}, ErrorCode.INVALID_VALUE, "metadata"),
        ({"text": "a", "metadata": {"x": "y" * 20_000}}, ErrorCode.INVALID_VALUE, "metadata"),
        ({"text": "a", "metadata": {"x": "\ud800"}}, ErrorCode.INVALID_VALUE, "metadata"),
        ({"text": "a", "metadata": "{" * 100_000}, ErrorCode.INVALID_VALUE, "metadata"),
        ({"text": "a", "metadata": '{"a":' * 100_000}, ErrorCode.INVALID_VALUE, "metadata"),
        ({"text": "a", "webhook_url": "file:///etc/passwd"}, ErrorCode.INVALID_VALUE, "webhook_url"),
        ({"text": "a", "webhook_url": "http://a/\nb"}, ErrorCode.INVALID_VALUE, "webhook_url"),
        ({"text": "a", "priority": "urgent"}, ErrorCode.INVALID_VALUE, "priority"),
    ],
)
def test_a_wrong_job_is_refused_by_name(body, code, field):
    limits = LimitSettings(max_job_text=30, max_items=3)
    error = refused(body, lambda b: parse_job(b, limits=limits))
    assert (error.code, error.errors[0].field) == (code, field)


def test_a_voice_upload_keeps_an_id_and_gives_a_display_name_one():
    kept = parse_voice_upload({"voice_id": "custom_voice_001", "description": "自定义"}).value
    assert (kept.voice_id, kept.name) == ("custom_voice_001", "custom_voice_001")
    named = parse_voice_upload({"voice_id": "温柔女声", "replace": "true", "extra": "1"})
    assert named.value.name == "温柔女声"
    assert named.value.voice_id.startswith("voice_")
    assert named.value.voice_id == parse_voice_upload({"name": "温柔女声"}).value.voice_id
    assert named.value.replace
    assert named.unknown == ("extra",)


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a" * 65, "../../etc"])
def test_no_voice_id_is_a_path(name):
    found = parse_voice_upload({"voice_id": name}).value
    assert found.voice_id.startswith("voice_")
    assert "/" not in found.voice_id


def test_an_upload_without_a_name_is_refused():
    error = refused({"description": "x"}, parse_voice_upload)
    assert error.errors[0].field == "voice_id"
    error = refused({"voice_id": "a", "replace": "perhaps"}, parse_voice_upload)
    assert error.errors[0].problem is FieldProblem.NOT_BOOLEAN
