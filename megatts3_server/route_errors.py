"""Which errors a route can answer with, for the OpenAPI document: told by what the route does, not by hand.

The status of a code is problems.py's; the sentences are contract/messages.py's.
"""

from collections.abc import Collection, Mapping
from typing import Any

from contract.errors import ErrorCode
from contract.messages import Language, describe_code
from megatts3_server.problems import CONTENT_TYPE, PROBLEMS

_ALWAYS = (
    ErrorCode.MALFORMED_REQUEST,
    ErrorCode.ADDRESS_TOO_LONG,
    ErrorCode.HEADERS_TOO_LARGE,
    ErrorCode.INTERNAL,
)
_GUARDED = (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.STORE_UNAVAILABLE)
_LIMITED = (ErrorCode.RATE_LIMITED,)
_WITH_BODY = (
    ErrorCode.MALFORMED_REQUEST,
    ErrorCode.CONFLICTING_FIELDS,
    ErrorCode.UPLOAD_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.INVALID_VALUE,
)
_WITH_CLIP = (
    ErrorCode.AUDIO_UNREADABLE,
    ErrorCode.UNSUPPORTED_FORMAT,
    ErrorCode.AUDIO_TOO_SHORT,
    ErrorCode.LATENT_REQUIRED,
    ErrorCode.LATENT_INVALID,
    ErrorCode.NOT_READY,
    ErrorCode.STORAGE_FULL,
)
_WITH_SPEECH = (
    ErrorCode.TEXT_TOO_LONG,
    ErrorCode.STYLE_NOT_FOUND,
    ErrorCode.UNSUPPORTED_FORMAT,
    ErrorCode.VOICE_NOT_FOUND,
    ErrorCode.VOICE_NOT_READY,
    ErrorCode.QUEUE_FULL,
    ErrorCode.NOT_READY,
    ErrorCode.STORAGE_FULL,
)
_WHEN_AWAITED = (
    ErrorCode.SYNTHESIS_FAILED,
    ErrorCode.WORKER_LOST,
    ErrorCode.CANCELLED,
    ErrorCode.DEADLINE_EXCEEDED,
)
_STORED_AUDIO = (ErrorCode.NOT_FOUND, ErrorCode.RANGE_NOT_SATISFIABLE)
_OF_VOICES = (ErrorCode.VOICE_EXISTS, ErrorCode.CONFLICT, ErrorCode.WORKER_LOST, ErrorCode.DEADLINE_EXCEEDED)
ANYWHERE = (ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED, ErrorCode.NOT_ACCEPTABLE)  # of no single route

_MULTIPART = "multipart/form-data"


def codes_of(
    rule: str, *, method: str, tag: str, bodies: Collection[str], query: Collection[str], is_limited: bool, ranges: bool
) -> tuple[ErrorCode, ...]:
    """`ranges`: the route sends stored audio."""
    found: list[ErrorCode] = [*_ALWAYS]
    if rule.startswith(("/api/", "/v1/")):
        found += _GUARDED
    if is_limited:
        found += _LIMITED
    if bodies:
        found += _WITH_BODY
    if query:
        found += (ErrorCode.INVALID_VALUE, ErrorCode.MALFORMED_REQUEST)
    is_speech = bool(bodies) and ("/tts/" in rule or "/audio/speech" in rule or rule.endswith("/jobs"))
    if is_speech:
        found += _WITH_SPEECH
        found += () if tag == "jobs" else _WHEN_AWAITED
    if _MULTIPART in bodies and method != "PATCH":
        found += _WITH_CLIP
    if tag == "jobs" or is_speech:
        found += (ErrorCode.JOB_NOT_FOUND, ErrorCode.CONFLICT, ErrorCode.CANCELLED)
    found += (ErrorCode.NOT_FOUND,) if "<model>" in rule else ()
    if "voices" in rule.split("/"):
        found += (ErrorCode.VOICE_NOT_FOUND,) if "<" in rule or method != "GET" else ()
        found += _OF_VOICES if method != "GET" else ()
        found += (ErrorCode.STYLE_NOT_FOUND,) if method == "DELETE" else ()
    if ranges:
        found += (*_STORED_AUDIO, ErrorCode.CONFLICT, *_WHEN_AWAITED)
    return tuple(dict.fromkeys(found))


def responses(
    codes: Collection[ErrorCode], schema: object, *, content_type: str = CONTENT_TYPE
) -> dict[str, Any]:  # Any: OpenAPI's own tree
    """One response a status; its description lists each code with its sentence."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code.value}`: {describe_code(code, Language.EN)}" for code in at_status),
            "content": {content_type: {"schema": schema}},
            **_retry_after(at_status),
        }
        for status, at_status in sorted(by_status.items())
    }


def _retry_after(codes: Collection[ErrorCode]) -> Mapping[str, Any]:  # Any: as above
    if all(PROBLEMS[code].retry_after_s is None for code in codes):
        return {}
    return {"headers": {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}}


def catalogue() -> list[dict[str, object]]:
    """Every code with its status, for the document's own list of errors."""
    return [
        {
            "error_code": code.value,
            "status": problem.status,
            "title": problem.title,
            "description": describe_code(code, Language.EN),
            "zh": describe_code(code, Language.ZH),
        }
        for code, problem in PROBLEMS.items()
    ]
