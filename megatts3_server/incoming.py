"""The body of a request as plain fields and files, whichever way it came: JSON, form or multipart.

Both forms are understood on every route.  Not here: what the fields mean (contract/wire.py) and what a file
must be (uploads.py).  Part types and file names are never believed, so none is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import flask
from werkzeug.datastructures import FileStorage

from contract.errors import ErrorCode, FieldError, FieldProblem, ServiceError
from contract.messages import field_error
from contract.wire_schemas import ALIASES, JobSchema
from contract.wire_voices import VoiceUploadSchema

_MULTIPART = "multipart/form-data"
_FORM = "application/x-www-form-urlencoded"
_KNOWN = frozenset(
    {
        *JobSchema().fields,
        *VoiceUploadSchema().fields,
        *(spelling for spellings in ALIASES.values() for spelling in spellings),
        *("parameters", "items", "model", "instructions"),
    }
)
_TEXT_PART_BYTES = 8_000_000  # a text field sent as a file part: a job's longest text, in UTF-8


@dataclass(frozen=True)
class Incoming:
    """fields: as JSON gave them, or all text.  files: by part name; the first of a name counts."""

    fields: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, FileStorage] = field(default_factory=dict)


def read(request: flask.Request, *, file_names: frozenset[str] = frozenset()) -> Incoming:
    """`file_names`: parts that are files; any other is text, file name or not (curl -F text=@file)."""
    if request.mimetype == _MULTIPART:
        found = _read_multipart(request, file_names)
    else:
        found = Incoming(fields=_read_plain(request))
    return Incoming(_without_files(found.fields, file_names), found.files)


def _read_plain(request: flask.Request) -> Mapping[str, object]:
    kind, body = request.mimetype, request.get_data(cache=True)
    if kind == _FORM and not body.lstrip().startswith(b"{"):  # curl -d sends JSON under this type
        return _once_each(request.form.to_dict(flat=False))
    if kind not in {"", _FORM, "text/plain"} and not _is_json(kind):
        raise ServiceError(ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    return _object(body)


def _without_files(fields: Mapping[str, object], file_names: frozenset[str]) -> Mapping[str, object]:
    """Empty file fields are left out; bytes sent as text are already broken, and are not to be ignored either."""
    for name in sorted(file_names & fields.keys()):
        if fields[name]:
            message = f"{name} must be a file part of a multipart form, with a file name"
            raise ServiceError(ErrorCode.MALFORMED_REQUEST, errors=(FieldError(name, message),))
    return {name: value for name, value in fields.items() if name not in file_names}


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ServiceError(ErrorCode.MALFORMED_REQUEST, "The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise ServiceError(ErrorCode.MALFORMED_REQUEST, "The body must be a JSON object.")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read_multipart(request: flask.Request, file_names: frozenset[str]) -> Incoming:
    texts: dict[str, list[str]] = {}
    for name, values in request.form.to_dict(flat=False).items():
        texts[name or ""] = values  # a part may come without a name: None, whatever the types say
    files: dict[str, FileStorage] = {}
    for name, part in request.files.items(multi=True):
        name = name or ""  # noqa: PLW2901 - as above
        if name in file_names:
            files.setdefault(name, part)
        else:
            texts.setdefault(name, []).append(_text_of(name, part))
    return Incoming(fields=_once_each(texts), files=files)


def _text_of(name: str, part: FileStorage) -> str:
    data = part.stream.read(_TEXT_PART_BYTES)
    if part.stream.read(1):
        problem = field_error(name, FieldProblem.TOO_LONG, str(_TEXT_PART_BYTES))
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=(problem,))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = field_error(name, FieldProblem.NOT_TEXT)
        raise ServiceError(ErrorCode.INVALID_VALUE, errors=(problem,)) from error


def _once_each(texts: Mapping[str, list[str]]) -> dict[str, object]:
    """A field sent twice with one value is that field; with two values nobody can know what is meant.

    What nobody knows (an SDK's list, one part an entry) is only named in a warning, so it may say what it likes.
    """
    fields: dict[str, object] = {}
    for name, values in texts.items():
        if len(set(values)) > 1 and name in _KNOWN:
            problem = field_error(name, FieldProblem.CONFLICT, "itself")
            raise ServiceError(ErrorCode.CONFLICTING_FIELDS, errors=(problem,))
        fields[name] = values[0]
    return fields
