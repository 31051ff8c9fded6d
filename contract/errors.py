"""Error codes and the one error that crosses the queue.  No HTTP status in here.

ServiceError
    carries an ErrorCode, data for its message (see messages.py) and, where a value was wrong, FieldErrors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class ErrorCode(StrEnum):
    """Stable names of everything that can go wrong, as clients and job records see them."""

    TEXT_TOO_LONG = "text_too_long"
    INVALID_VALUE = "invalid_value"
    MALFORMED_REQUEST = "malformed_request"
    CONFLICTING_FIELDS = "conflicting_fields"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    VOICE_NOT_FOUND = "voice_not_found"
    VOICE_NOT_READY = "voice_not_ready"
    JOB_NOT_FOUND = "job_not_found"
    CONFLICT = "conflict"
    VOICE_EXISTS = "voice_exists"
    STYLE_NOT_FOUND = "style_not_found"
    UPLOAD_TOO_LARGE = "upload_too_large"
    ADDRESS_TOO_LONG = "address_too_long"
    HEADERS_TOO_LARGE = "headers_too_large"
    AUDIO_UNREADABLE = "audio_unreadable"
    AUDIO_TOO_SHORT = "audio_too_short"
    LATENT_REQUIRED = "latent_required"
    LATENT_INVALID = "latent_invalid"
    RATE_LIMITED = "rate_limited"
    QUEUE_FULL = "queue_full"
    NOT_READY = "not_ready"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    SYNTHESIS_FAILED = "synthesis_failed"
    WORKER_LOST = "worker_lost"
    STORAGE_FULL = "storage_full"
    STORE_UNAVAILABLE = "store_unavailable"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNSUPPORTED_FORMAT = "unsupported_format"
    INTERNAL = "internal"


@unique
class FieldProblem(StrEnum):
    """What can be wrong with one field; each has a sentence in both languages in messages.py."""

    MISSING = "missing"
    EMPTY = "empty"
    NOT_TEXT = "not_text"
    NOT_NUMBER = "not_number"
    NOT_INTEGER = "not_integer"
    NOT_BOOLEAN = "not_boolean"
    NOT_OBJECT = "not_object"
    NOT_LIST = "not_list"
    OUT_OF_RANGE = "out_of_range"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    NOT_A_CHOICE = "not_a_choice"
    BAD_PATTERN = "bad_pattern"
    NOT_A_URL = "not_a_url"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    NOT_SET_UP = "not_set_up"
    NOT_PUBLIC = "not_public"


@dataclass(frozen=True)
class FieldError:
    """One field that was not understood or lies outside its limit."""

    field: str
    message: str
    limit: str | None = None
    problem: FieldProblem | None = None

    def to_dict(self) -> dict[str, str]:
        found = {"field": self.field, "message": self.message}
        if self.limit is not None:
            found["limit"] = self.limit
        if self.problem is not None:
            found["problem"] = self.problem.value
        return found


@dataclass(frozen=True)
class ErrorInfo:
    """An error as a job or voice record keeps it."""

    code: ErrorCode
    detail: str


class ServiceError(Exception):
    """A request cannot be served.  `detail` is a short English sentence without user text.

    `detail` None takes the sentence of messages.py for the code; `params` fill its placeholders.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: float | None = None,
        job_id: str | None = None,
        params: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail or code.value)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.job_id = job_id
        self.params: Mapping[str, object] = params or {}


@dataclass(frozen=True)
class SettingProblem:
    """One value of the configuration that cannot be used."""

    source: str  # file path or the name of the variable
    key: str
    message: str


class SettingsError(Exception):
    """The configuration cannot be used; names every file or variable, key and range."""

    def __init__(self, problems: tuple[SettingProblem, ...]) -> None:
        super().__init__("; ".join(f"{p.source}: {p.key}: {p.message}" for p in problems))
        self.problems = problems
