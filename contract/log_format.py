"""How a log line looks: the operators' own format, or JSON.

Two promises hold for every line, third parties' too: `ERROR` occurs in error lines only, and `synthesis_time`
only in the line that starts with its number.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from datetime import UTC, datetime

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:/+@%,#*[]()<>")


class TextFormatter(logging.Formatter):
    """`<format> [number] event name=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        told = copy.copy(record)
        told.msg, told.args = message_of(record), None
        line = super().format(told)
        if record.levelno < logging.ERROR:
            line = line.replace("ERROR", "Error")
        if getattr(record, "event_lead", None) is None:
            line = line.replace("synthesis_time", "synthesis-time")
        return line


class JsonFormatter(logging.Formatter):
    """One object a line; the fields stand beside `event`."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "event": record.getMessage(),
        }
        lead = getattr(record, "event_lead", None)
        if lead is not None:
            told["seconds"] = float(lead)
        told |= {f"{k}_" if k in told else k: _plain(v) for k, v in _fields(record).items()}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def message_of(record: logging.LogRecord) -> str:
    """The message on one line: control characters are escaped, so nothing can forge a line."""
    lead = getattr(record, "event_lead", None)
    parts = [] if lead is None else [str(lead)]
    parts.append("".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in record.getMessage()))
    parts += [f"{name}={_value(value)}" for name, value in _fields(record).items()]
    return " ".join(parts)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = getattr(record, "event_fields", None)
    return found if isinstance(found, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | list | dict) or value is None else str(value)


def _value(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text, ensure_ascii=False)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
