"""From a client's JSON or form to our dataclasses: aliases, odd forms, ranges, named mistakes.

`parse_speech` and `parse_job` take the mapping of the body (form fields as text) and return a Parsed; what is
wrong is a ServiceError naming field and limit by the client's own spelling.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from marshmallow import EXCLUDE, Schema, ValidationError

from contract.errors import ErrorCode, FieldError, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import LEVELS, JobSubmission, Quality, SpeechRequest
from contract.settings import LimitSettings
from contract.wire_fields import as_object, is_absent
from contract.wire_schemas import ALIASES, JobSchema, SpeechSchema

_T = TypeVar("_T")
VOICE_FILE_FIELDS = ("voice_file", "audio_file", "reference_audio", "reference_audio_file")
LATENT_FILE_FIELDS = ("voice_latent", "latent_file")
_MOST_SHOWN = 20  # unknown fields that are named


@dataclass(frozen=True)
class Parsed(Generic[_T]):
    """A value and what was odd about it.  `unknown` names fields nobody knows (SDKs send extras)."""

    value: _T
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Gathered:
    values: dict[str, Any]  # canonical name → raw value
    spelled: dict[str, str]  # canonical name → as the client wrote it
    unknown: tuple[str, ...]


def parse_speech(
    body: Mapping[str, Any],
    *,
    max_text: int,
    defaults: SpeechRequest | None = None,
    ignored: frozenset[str] = frozenset(),
) -> Parsed[SpeechRequest]:
    """One synthesis request.  `defaults` are a dialect's own (OpenAI: mp3); `ignored` its harmless extras."""
    schema = _speech_schema(max_text)
    gathered = _gather(body, schema, ignored | set(VOICE_FILE_FIELDS) | set(LATENT_FILE_FIELDS))
    loaded = _load(schema, gathered)
    if "text" not in loaded:
        raise _invalid(field_error(gathered.spelled.get("text", "text"), FieldProblem.MISSING))
    request = _request(loaded, defaults or SpeechRequest(text=""))
    if request.strict and gathered.unknown:
        raise _invalid(*(field_error(name, FieldProblem.UNKNOWN) for name in gathered.unknown))
    return Parsed(request, gathered.unknown)


def parse_job(body: Mapping[str, Any], *, limits: LimitSettings) -> Parsed[JobSubmission]:
    """`POST /api/v1/jobs`: exactly one of `text`, `items`, `ssml`."""
    schema = _job_schema(limits.max_job_text)
    gathered = _gather(body, schema, set(VOICE_FILE_FIELDS) | set(LATENT_FILE_FIELDS) | {"items"})
    loaded = _load(schema, gathered)
    raw_items = body.get("items")
    given = [name for name in ("text", "ssml") if name in loaded] + ["items"] * (raw_items is not None)
    if not given:
        raise _invalid(field_error("text", FieldProblem.MISSING))
    if len(given) > 1:
        raise ServiceError(
            ErrorCode.CONFLICTING_FIELDS,
            errors=(field_error(given[0], FieldProblem.CONFLICT, given[1]),),
        )
    ours = {name: loaded.pop(name) for name in _OF_THE_JOB if name in loaded}
    request = _request({"text": "", **loaded}, SpeechRequest(text=""))
    if request.strict and gathered.unknown:
        raise _invalid(*(field_error(name, FieldProblem.UNKNOWN) for name in gathered.unknown))
    items = () if raw_items is None else _items(raw_items, request, limits)
    unknown = (*gathered.unknown, *(f"items[{n}].{name}" for n, item in enumerate(items) for name in item.unknown))
    requests = tuple(item.value for item in items)
    return Parsed(JobSubmission(request=request, items=requests, **ours), unknown[:_MOST_SHOWN])


_OF_THE_JOB = ("ssml", "priority", "deadline_s", "webhook_url", "metadata")


def _items(raw: object, shared: SpeechRequest, limits: LimitSettings) -> tuple[Parsed[SpeechRequest], ...]:
    """Texts, or requests that differ from the job's own; in a form, JSON.  Together no longer than one job's text."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            raise _invalid(field_error("items", FieldProblem.NOT_LIST)) from None
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise _invalid(field_error("items", FieldProblem.NOT_LIST))
    if not raw:
        raise _invalid(field_error("items", FieldProblem.EMPTY))
    if len(raw) > limits.max_items:
        raise _invalid(field_error("items", FieldProblem.TOO_MANY, str(limits.max_items)))
    found: list[Parsed[SpeechRequest]] = []
    for place, item in enumerate(raw):
        body = {"text": item} if isinstance(item, str) else item
        if not isinstance(body, Mapping):
            raise _invalid(field_error(f"items[{place}]", FieldProblem.NOT_OBJECT))
        try:
            found.append(parse_speech(body, max_text=limits.max_job_text, defaults=shared))
        except ServiceError as error:
            raise of_item(error, place) from None
    if sum(len(item.value.text) for item in found) > limits.max_job_text:
        raise _invalid(field_error("items", FieldProblem.TOO_LONG, str(limits.max_job_text)))
    return tuple(found)


def of_item(error: ServiceError, place: int) -> ServiceError:
    """The same error, its fields named as those of an item."""
    error.errors = tuple(replace_field(each, f"items[{place}].{each.field}") for each in error.errors)
    return error


def replace_field(error: FieldError, name: str) -> FieldError:
    """The same mistake under another name, its sentence too."""
    if error.problem is None:
        return replace(error, field=name)
    return field_error(name, error.problem, error.limit)


def gather_aliases(
    sources: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    aliases: Mapping[str, str],
    same: Callable[[str, Any, Any], bool],
    keeps_text: frozenset[str],
) -> _Gathered:
    """Collect each field under its canonical name; two spellings with different values are an error."""
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    unknown: list[str] = []
    for below, source in sources:
        for name, value in source.items():
            canonical = aliases.get(name)
            if canonical is None:
                unknown.append(f"{below}{_shown(name)}")
            elif is_absent(value) and not (canonical in keeps_text and value is not None):
                continue
            elif canonical not in values:
                values[canonical], spelled[canonical] = value, f"{below}{name}"
            elif not same(canonical, values[canonical], value):
                raise ServiceError(
                    ErrorCode.CONFLICTING_FIELDS,
                    errors=(field_error(f"{below}{name}", FieldProblem.CONFLICT, spelled[canonical]),),
                )
    return _Gathered(values, spelled, tuple(unknown[:_MOST_SHOWN]))


def _shown(name: object) -> str:
    """A stranger's field name, fit for a header and a log."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in str(name)[:64])


def _gather(body: Mapping[str, Any], schema: Schema, ignored: set[str] | frozenset[str]) -> _Gathered:
    known = _spellings(tuple(schema.fields))
    top = {name: value for name, value in body.items() if name != "parameters" and name not in ignored}
    raw = body.get("parameters")
    try:
        inner = {} if is_absent(raw) else as_object(raw)
    except ValidationError:
        raise _invalid(field_error("parameters", FieldProblem.NOT_OBJECT)) from None

    def same(name: str, one: Any, other: Any) -> bool:
        try:
            return bool(schema.fields[name].deserialize(one) == schema.fields[name].deserialize(other))
        except ValidationError:
            return bool(one == other)

    inner = {name: value for name, value in inner.items() if name not in ignored}
    sources = [("", top), ("parameters.", inner)]
    return gather_aliases(sources, aliases=known, same=same, keeps_text=frozenset({"text", "ssml"}))


@functools.cache  # building one takes longer than loading with it, and nothing writes to it
def _speech_schema(max_text: int) -> SpeechSchema:
    return SpeechSchema(max_text=max_text)


@functools.cache
def _spellings(names: tuple[str, ...]) -> Mapping[str, str]:
    return {spelling: name for name in names for spelling in (name, *ALIASES.get(name, ()))}


@functools.cache
def _job_schema(max_text: int) -> JobSchema:
    return JobSchema(max_text=max_text)


def _load(schema: Schema, gathered: _Gathered) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(gathered.values, unknown=EXCLUDE)
    except ValidationError as error:
        raise _from_validation(error, schema, gathered) from None
    return loaded


def _from_validation(error: ValidationError, schema: Schema, gathered: _Gathered) -> ServiceError:
    messages = error.messages_dict
    found = []
    for name in schema.fields:
        if name in messages:
            limit = schema.fields[name].metadata.get("limit")
            found.append(field_error(gathered.spelled[name], FieldProblem(messages[name][0]), limit))
    too_long = [e for e in found if e.problem is FieldProblem.TOO_LONG and "text" in messages]
    if len(found) == 1 and too_long and isinstance(gathered.values["text"], str):
        params = {"length": len(gathered.values["text"]), "limit": too_long[0].limit}
        return ServiceError(ErrorCode.TEXT_TOO_LONG, errors=tuple(found), params=params)
    return _invalid(*found)


def _invalid(*errors: FieldError) -> ServiceError:
    return ServiceError(ErrorCode.INVALID_VALUE, errors=errors)


def _request(loaded: dict[str, Any], defaults: SpeechRequest) -> SpeechRequest:
    quality: Quality | None = loaded.get("quality")
    if quality is not None and "time_step" not in loaded:
        loaded = {**loaded, **LEVELS[quality]._asdict()}
    return replace(defaults, **loaded)
