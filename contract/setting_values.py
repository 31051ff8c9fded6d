"""Parsers of setting values: YAML types and text mean the same; what is wrong raises ValueError."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.api_keys import ApiKey, named_key, read_keys
from contract.webhooks import signing_key

Parser = Callable[[Any], Any]  # Any: what YAML or the environment held → the typed value

_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def number(low: float, high: float) -> Parser:
    def parse(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"expected a number between {low:g} and {high:g}")  # noqa: TRY004 - one kind of error for every wrong value
        try:
            found = float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number") from None
        if not math.isfinite(found) or not low <= found <= high:
            raise ValueError(f"{value!r} is not between {low:g} and {high:g}")
        return found

    return parse


def integer(low: int, high: int) -> Parser:
    parse_number = number(low, high)

    def parse(value: Any) -> int:
        found = parse_number(value)
        if found != int(found):
            raise ValueError(f"{value!r} is not a whole number")
        return int(found)

    return parse


def boolean() -> Parser:
    def parse(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise ValueError(f"{value!r} is neither true nor false")

    return parse


def text(pattern: str | None = None) -> Parser:
    def parse(value: Any) -> str:
        if isinstance(value, dict | list) or value is None or not str(value).strip():
            raise ValueError("expected text")
        found = str(value).strip()
        if pattern is not None and not re.fullmatch(pattern, found):
            raise ValueError(f"{found!r} does not fit {pattern}")
        return found

    return parse


def choice(*allowed: str, upper: bool = False) -> Parser:
    def parse(value: Any) -> str:
        found = str(value).strip()
        found = found.upper() if upper else found.lower()
        if found not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
        return found

    return parse


def size(low: int, high: int) -> Parser:
    """Bytes: a number, or text such as "100MB", "1.5 GB", "512KiB"."""

    def parse(value: Any) -> int:
        found = _SIZE.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
        if found is None:
            raise ValueError(f'{value!r} is not a size such as "100MB" or "2GB"')
        amount, unit, binary = found.groups()
        factor = _UNITS[unit.lower()]
        if binary:
            factor = 1024 ** round(math.log(factor, 1000)) if factor > 1 else 1
        count = int(float(amount) * factor)
        if not low <= count <= high:
            raise ValueError(f"{value!r} is not between {low} and {high} bytes")
        return count

    return parse


def path() -> Parser:
    as_text = text()

    def parse(value: Any) -> Path:
        return Path(as_text(value)).expanduser()

    return parse


def optional_path() -> Parser:
    """A path, or nothing: null, an empty text, "none"."""
    as_path = path()

    def parse(value: Any) -> Path | None:
        if value is None or str(value).strip().lower() in {"", "none", "null"}:
            return None
        found: Path = as_path(value)
        return found

    return parse


def names() -> Parser:
    """A list; as text, JSON or separated by commas."""

    def parse(value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        if not isinstance(value, list | tuple):
            raise ValueError("expected a list")  # noqa: TRY004 - one kind of error for every wrong value
        return tuple(str(item).strip() for item in value if str(item).strip())

    return parse


def networks(*words: str) -> Parser:
    """Addresses and networks, as a list; `words` are allowed beside them."""
    as_names = names()

    def parse(value: Any) -> tuple[str, ...]:
        found: tuple[str, ...] = as_names(value)
        for name in found:
            if name in words:
                continue
            try:
                ipaddress.ip_network(name, strict=False)
            except ValueError:
                raise ValueError(f"{name!r} is no address or network such as 10.0.0.0/8") from None
        return found

    return parse


def secret_keys() -> Parser:
    """API keys, or `sha256:` and the hash of one."""
    as_names = names()

    def parse(value: Any) -> tuple[str, ...]:
        found: tuple[str, ...] = as_names(value)
        for entry in found:
            named_key(entry)
        return found

    return parse


def webhook_secret() -> Parser:
    """A Standard Webhooks secret, as it is given."""
    as_text = text()

    def parse(value: Any) -> str:
        found: str = as_text(value)
        signing_key(found)
        return found

    return parse


def key_file() -> Parser:
    """The path of a file of API keys → the keys in it; nothing is no file."""
    as_path = optional_path()

    def parse(value: Any) -> tuple[ApiKey, ...]:
        found = as_path(value)
        return () if found is None else read_keys(found)

    return parse


def rates() -> Parser:
    """Key id or network → requests per minute; as text, JSON."""
    count = integer(1, 10**6)

    def parse(value: Any) -> dict[str, int]:
        if isinstance(value, str):
            value = json.loads(value) if value.strip() else {}
        if not isinstance(value, dict):
            raise ValueError("expected names with numbers, such as {10.0.0.0/8: 600}")  # noqa: TRY004 - one kind of error for every wrong value
        return {str(name): count(rate) for name, rate in value.items()}

    return parse


def prefix() -> Parser:
    """A key prefix; a trailing colon, as in the seed's `megatts3:`, is understood."""
    as_text = text()

    def parse(value: Any) -> str:
        found: str = as_text(value).rstrip(":")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", found):
            raise ValueError(f"{value!r} may have letters, digits, dot, dash and underscore only")
        return found

    return parse


def optional_url() -> Parser:
    """An http(s) URL, or nothing: null, an empty text, "none"."""

    def parse(value: Any) -> str | None:
        found = "" if value is None else str(value).strip()
        if found.lower() in {"", "none", "null"}:
            return None
        if not found.startswith(("http://", "https://")):
            raise ValueError("expected a URL such as http://host:4318")
        return found

    return parse


def redis_url() -> Parser:
    as_text = text()

    def parse(value: Any) -> str:
        found: str = as_text(value)
        if not found.startswith(("redis://", "rediss://", "unix://", "redis+socket://")):
            raise ValueError("expected a URL such as redis://host:6379")  # the value may hold a password
        return found

    return parse
