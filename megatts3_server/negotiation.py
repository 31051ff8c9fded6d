"""What the caller wants back: the bytes now, JSON, or a job (RFC 7240 `Prefer`, RFC 9110 `Accept`).

Audio bytes are the default, and only an explicit wish changes that: a known client saves any 200 as `.wav`
and takes any 202 for a failure.
"""

import re
from dataclasses import dataclass

import flask

_PREFERENCE = re.compile(r"\s*([A-Za-z-]+)\s*(?:=\s*\"?([^\";,\s]*)\"?)?")


@dataclass(frozen=True)
class Wish:
    """as_json: JSON rather than audio.  wait_s: seconds to wait before 202; None = until it is done."""

    as_json: bool
    wait_s: float | None


def wish(request: flask.Request) -> Wish:
    preferences = prefer(request)
    wait_s: float | None = None
    if "wait" in preferences:
        wait_s = _seconds(preferences["wait"])
    if "respond-async" in preferences:
        wait_s = wait_s or 0.0
    return Wish(as_json=_wants_json(request), wait_s=wait_s)


def prefer(request: flask.Request) -> dict[str, str]:
    """The `Prefer` header's preferences, names in lower case; what cannot be read is left out."""
    found: dict[str, str] = {}
    for line in request.headers.getlist("Prefer"):
        for part in line.split(","):
            match = _PREFERENCE.match(part)
            if match:
                found.setdefault(match[1].lower(), match[2] or "")
    return found


def _wants_json(request: flask.Request) -> bool:
    """Only where JSON is liked better: `application/json, */*` likes both the same, and gets audio."""
    accept = request.accept_mimetypes
    return bool(accept["application/json"] > accept["audio/wav"])


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
