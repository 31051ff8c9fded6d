"""Headers in the OpenAPI document: which a route reads, and which its answers carry.

Not here: Accept, Content-Type and Authorization, of which OpenAPI says that they are no parameters.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any

Tree = dict[str, Any]  # Any: OpenAPI's own

_TEXT: Mapping[str, object] = {"type": "string"}
_WHOLE: Mapping[str, object] = {"type": "integer", "minimum": 0}
_NUMBER: Mapping[str, object] = {"type": "number", "minimum": 0}

REQUEST: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "X-Request-ID": ("Short and plain, it is taken over; else one is made", _TEXT),
    "Accept-Language": ("The language of sentences for people: zh or en", _TEXT),
    "Prefer": ("`respond-async`: 202 with a job;  `wait=N`: within N seconds, else 202 (RFC 7240)", _TEXT),
    "Idempotency-Key": (
        "A re-send with the same key and body is answered with the first job",
        {**_TEXT, "maxLength": 256},
    ),
    "Range": ("`bytes=0-1023`", _TEXT),
    "If-Range": ("An ETag: the range, if the audio is still that", _TEXT),
    "If-None-Match": ("ETags: 304 where the audio is one of them", _TEXT),
}

ANSWER: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "X-Request-ID": ("Names this request in logs and errors", _TEXT),
    "X-Warnings": ("What was odd about a request that was served all the same", _TEXT),
    "X-Job-ID": ("The job that made the audio; absent for a hit", _TEXT),
    "X-Cache": ("Was the audio there before?", {"type": "string", "enum": ["hit", "partial", "miss"]}),
    "X-Audio-Duration": ("Seconds; absent where the audio is streamed", _NUMBER),
    "X-Audio-Sample-Rate": ("Samples per second", _WHOLE),
    "X-RTF": ("Seconds of compute per second of audio", _NUMBER),
    "Server-Timing": ("Where the time went, in milliseconds", _TEXT),
    "Location": ("Where the new thing is", _TEXT),
    "Preference-Applied": ("Which preference was followed", _TEXT),
    "ETag": ("Of this audio", _TEXT),
    "Accept-Ranges": ("`bytes`", _TEXT),
    "Content-Range": ("Which bytes these are, of how many", _TEXT),
    "Content-Disposition": ("A name for the file", _TEXT),
    "Cache-Control": ("How long it may be kept", _TEXT),
    "Vary": ("Headers the answer depends on", _TEXT),
    "Retry-After": ("Seconds to wait before trying again", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": ("How a key is sent", _TEXT),
    "RateLimit": ("Requests left, and seconds until there are more (draft-ietf-httpapi-ratelimit-headers)", _TEXT),
    "RateLimit-Policy": ("The limit", _TEXT),
    "RateLimit-Limit": ("Requests a burst may have", _WHOLE),
    "RateLimit-Remaining": ("Requests left", _WHOLE),
    "RateLimit-Reset": ("Seconds until the bucket is full, or has one again", _WHOLE),
}

_LIMIT = ("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_OF_AUDIO = ("X-Job-ID", "X-Audio-Duration", "X-Audio-Sample-Rate", "X-RTF", "Content-Disposition")
_OF_SPEECH = (*_OF_AUDIO, "X-Cache", "Server-Timing", "Vary", "X-Warnings")
_STORED = (*_OF_AUDIO, "ETag", "Accept-Ranges", "Cache-Control")


def components() -> Tree:
    """`components.headers`."""
    return {name: {"description": text, "schema": dict(schema)} for name, (text, schema) in ANSWER.items()}


def parameters(*, is_speech: bool, makes_job: bool, shows_job: bool, ranges: bool) -> list[Tree]:
    """What a route reads of the request's headers."""
    names = ["X-Request-ID", "Accept-Language"]
    names += ["Prefer"] if is_speech or shows_job else []
    names += ["Idempotency-Key"] if makes_job else []
    names += ["Range", "If-Range", "If-None-Match"] if ranges else []
    return [
        {
            "in": "header",
            "name": name,
            "required": False,
            "description": REQUEST[name][0],
            "schema": dict(REQUEST[name][1]),
        }
        for name in names
    ]


def of_answer(status: int, *, is_speech: bool, ranges: bool, takes_body: bool, is_limited: bool, of_job: bool) -> Tree:
    """The headers of a route's answer with this status, as references."""
    names: list[str] = ["X-Request-ID", *(_LIMIT if is_limited else ())]
    if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT} and ranges:
        names += [*_STORED, *(("Content-Range",) if status == HTTPStatus.PARTIAL_CONTENT else ())]
    elif status == HTTPStatus.NOT_MODIFIED:
        names += ["ETag", "Cache-Control"]
    elif status == HTTPStatus.OK and is_speech:
        names += _OF_SPEECH
    elif status == HTTPStatus.ACCEPTED:
        names += ["Location", "X-Job-ID", "Preference-Applied", "X-Warnings"]
    elif status == HTTPStatus.CREATED:
        names += ["Location", "X-Warnings"]
    elif status == HTTPStatus.OK and takes_body:
        names.append("X-Warnings")
    elif status in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE} and not is_limited:
        names.append("Cache-Control")
    if of_job and (status == HTTPStatus.OK or status >= HTTPStatus.BAD_REQUEST):
        names += ["X-Job-ID", *(("Cache-Control",) if status == HTTPStatus.OK else ())]
    names += _of_error(status)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _of_error(status: int) -> Collection[str]:
    if status == HTTPStatus.UNAUTHORIZED:
        return ("WWW-Authenticate",)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return ("Content-Range",)
    return ()
