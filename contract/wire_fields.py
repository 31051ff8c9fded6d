"""How single values look on the wire, odd forms included: "20", "32.0", "None", "", "True".

Each is a marshmallow field whose error message is the value of a FieldProblem; wire.py makes the sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from marshmallow import ValidationError, fields

from contract.errors import FieldProblem

_E = TypeVar("_E", bound=StrEnum)
_ABSENT = {"", "none", "null", "undefined", "nan"}  # str() of what a database or a form held
_TRUE = {"true", "yes", "on", "1", "1.0"}
_FALSE = {"false", "no", "off", "0", "0.0"}


def is_absent(value: object) -> bool:
    """True for a value that says "nothing was chosen"; not asked of the text itself."""
    return value is None or (isinstance(value, str) and value.strip().lower() in _ABSENT)


def invalid(problem: FieldProblem) -> ValidationError:
    return ValidationError(problem.value)


class Number(fields.Field[float]):
    """A finite number in [low, high]; text is understood, a boolean is not a number."""

    def __init__(self, low: float, high: float, *, description: str) -> None:
        self.low, self.high = low, high
        limit = f"{low:g}..{high:g}"
        super().__init__(metadata={"description": description, "limit": limit})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:  # noqa: ARG002 - marshmallow's
        number = _number(value, FieldProblem.NOT_NUMBER)
        if not self.low <= number <= self.high:
            raise invalid(FieldProblem.OUT_OF_RANGE)
        return number


class WholeNumber(fields.Field[int]):
    """A whole number in [low, high]; "32.0" is one."""

    def __init__(self, low: int, high: int, *, description: str) -> None:
        self.low, self.high = low, high
        super().__init__(metadata={"description": description, "limit": f"{low}..{high}"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:  # noqa: ARG002 - marshmallow's
        whole = _whole(value)
        if not self.low <= whole <= self.high:
            raise invalid(FieldProblem.OUT_OF_RANGE)
        return whole


class Truth(fields.Field[bool]):
    def __init__(self, *, description: str) -> None:
        super().__init__(metadata={"description": description})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002 - marshmallow's
        word = str(value).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise invalid(FieldProblem.NOT_BOOLEAN)


class Text(fields.Field[str]):
    """Text of at most `max_length` characters.  Halves of surrogate pairs cannot be stored: no text."""

    def __init__(self, max_length: int | None, *, description: str, strip: bool = True) -> None:
        self.max_length, self.strip = max_length, strip
        limit = None if max_length is None else str(max_length)
        super().__init__(metadata={"description": description, "limit": limit})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ARG002 - marshmallow's
        if not isinstance(value, str) or not _is_unicode(value):
            raise invalid(FieldProblem.NOT_TEXT)
        found = value.strip() if self.strip else value
        if not found.strip():
            raise invalid(FieldProblem.EMPTY)
        if self.max_length is not None and len(found) > self.max_length:
            raise invalid(FieldProblem.TOO_LONG)
        return found


class WebAddress(Text):
    """An absolute http or https URL; whether it may be called is decided where it is called."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        found = super()._deserialize(value, attr, data, **kwargs)
        if not found.startswith(("https://", "http://")) or not found.isprintable() or " " in found:
            raise invalid(FieldProblem.NOT_A_URL)
        return found


class VoiceReference(Text):
    """A voice id; some clients send `{"id": …}`."""

    def __init__(self) -> None:
        super().__init__(64, description="A registered voice")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, Mapping):
            value = value.get("id", value.get("name"))
        return super()._deserialize(value, attr, data, **kwargs)


class Choice(fields.Field[_E]):
    """A member of an enumeration, in any case."""

    def __init__(self, enum: type[_E], *, description: str, also: Mapping[str, _E] | None = None) -> None:
        self.enum, self.also = enum, also or {}
        limit = ", ".join(member.value for member in enum)
        super().__init__(metadata={"description": description, "limit": limit})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> _E:  # noqa: ARG002 - marshmallow's
        word = str(value).strip().lower().removeprefix(".")
        try:
            return self.also.get(word) or self.enum(word)
        except ValueError:
            raise invalid(FieldProblem.NOT_A_CHOICE) from None


class JsonObject(fields.Field[dict[str, object]]):
    """An object; in a form, its JSON text."""

    def __init__(self, max_bytes: int, *, description: str) -> None:
        self.max_bytes = max_bytes
        super().__init__(metadata={"description": description, "limit": str(max_bytes)})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, object]:  # noqa: ARG002 - marshmallow's
        found = as_object(value)
        try:
            size_bytes = len(json.dumps(found, ensure_ascii=False, allow_nan=False).encode())
        except (ValueError, RecursionError):  # not a number, half a surrogate pair, too deep: no JSON
            raise invalid(FieldProblem.NOT_OBJECT) from None
        if size_bytes > self.max_bytes:
            raise invalid(FieldProblem.TOO_LONG)
        return found


def as_object(value: object) -> dict[str, object]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise invalid(FieldProblem.NOT_OBJECT) from None
    if not isinstance(value, dict):
        raise invalid(FieldProblem.NOT_OBJECT)
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: object, problem: FieldProblem) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise invalid(problem)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise invalid(problem) from None
    if not math.isfinite(number):
        raise invalid(problem)
    return number


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() and len(value) <= 40:
        return int(value)  # exact beyond 2**53, where a float is not
    number = _number(value, FieldProblem.NOT_INTEGER)
    if number != int(number):
        raise invalid(FieldProblem.NOT_INTEGER)
    return int(number)
