"""The query of the list of jobs: which are wanted, and which page of them.  What is not understood is 422 by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import VOICE_ID, JobStatus, Priority
from contract.stores.cursor import decode
from contract.stores.jobs import JobFilter

_E = TypeVar("_E", bound=StrEnum)
_MAX_PAGE = 200
_USUAL_PAGE = 50
_LATEST = 253_402_300_800.0  # Unix seconds of the year 10000, which no clock writes


@dataclass(frozen=True)
class Asked:
    """What was asked for."""

    status: JobStatus | None
    wanted: JobFilter
    cursor: str | None
    limit: int


def read(query: Mapping[str, str]) -> Asked:
    wanted = JobFilter(
        created_from=_moment("created_from", query),
        created_before=_moment("created_before", query),
        voice_id=_voice(query.get("voice_id")),
        priority=_choice("priority", query, Priority),
    )
    return Asked(_choice("status", query, JobStatus), wanted, _cursor(query.get("cursor")), _limit(query.get("limit")))


def _choice(name: str, query: Mapping[str, str], enum: type[_E]) -> _E | None:
    text = query.get(name)
    try:
        return None if text is None else enum(text)
    except ValueError:
        raise _invalid(name, FieldProblem.NOT_A_CHOICE, ", ".join(member.value for member in enum)) from None


def _moment(name: str, query: Mapping[str, str]) -> float | None:
    """Unix seconds of RFC 3339, or Unix seconds themselves.  A time without a zone is UTC; `+` may come as a blank."""
    text = query.get(name)
    if text is None:
        return None
    try:
        unix_s = float(text)
    except ValueError:
        unix_s = _unix(text)
    if not 0 <= unix_s < _LATEST:  # nor is it a number that is none
        raise _invalid(name, FieldProblem.BAD_PATTERN, "2026-01-31T12:00:00Z")
    return unix_s


def _unix(text: str) -> float:
    try:
        found = datetime.fromisoformat(text.strip().replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -1.0


def _voice(text: str | None) -> str | None:
    if text is not None and not VOICE_ID.fullmatch(text):
        raise _invalid("voice_id", FieldProblem.BAD_PATTERN, VOICE_ID.pattern)
    return text


def _limit(text: str | None) -> int:
    limit = int(text) if text is not None and text.isdecimal() and len(text) < 6 else _USUAL_PAGE
    if (text is not None and not text.isdecimal()) or not 1 <= limit <= _MAX_PAGE:
        raise _invalid("limit", FieldProblem.OUT_OF_RANGE, f"1..{_MAX_PAGE}")
    return limit


def _cursor(text: str | None) -> str | None:
    if text is not None:
        try:
            decode(text)
        except ServiceError:
            raise _invalid("cursor", FieldProblem.BAD_PATTERN, "a next_cursor of an earlier answer") from None
    return text


def _invalid(name: str, problem: FieldProblem, limit: str) -> ServiceError:
    return ServiceError(ErrorCode.INVALID_VALUE, errors=(field_error(name, problem, limit),))
