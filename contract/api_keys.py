"""API keys as the settings hold them: hashes, names, scopes, limits.  A key itself is never kept.

From `MEGATTS3_API_KEYS` (keys, or `sha256:` and their hash, separated by commas; each may do everything), and from
the file that `api.keys_file` names:

    keys:
      - {name: platform, sha256: 9f86…, scopes: [synthesize, read], requests_per_minute: 600, burst_size: 60}

Keys are random and long, so a plain SHA-256 tells nothing of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Any

import yaml

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HASHED = "sha256:"
_ID_CHARACTERS = 12
_FIELDS = {"name", "sha256", "scopes", "requests_per_minute", "burst_size"}
_MOST = 10**6


@unique
class Scope(StrEnum):
    """What a key may do."""

    SYNTHESIZE = "synthesize"  # speak, plan, jobs
    VOICES = "voices"  # register, change and delete voices
    READ = "read"  # lists and looks


@dataclass(frozen=True)
class ApiKey:
    """One key.  `requests_per_minute`, `burst_size` None: as everybody's."""

    digest: str  # hex SHA-256 of the key
    name: str = ""
    scopes: frozenset[Scope] = frozenset(Scope)
    requests_per_minute: int | None = None
    burst_size: int | None = None

    @property
    def id(self) -> str:
        """The key's name in logs, limits and job records."""
        return self.digest[:_ID_CHARACTERS]


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def named_key(entry: str) -> ApiKey:
    """One entry of MEGATTS3_API_KEYS; ValueError where a hash is none."""
    if not entry.startswith(_HASHED):
        return ApiKey(digest_of(entry))
    digest = entry.removeprefix(_HASHED).strip().lower()
    if not _DIGEST.fullmatch(digest):
        raise ValueError("sha256: must be followed by 64 hexadecimal digits")
    return ApiKey(digest)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file; ValueError names what is wrong and never holds a hash."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML") from error
    entries = document.get("keys") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected `keys:` with a list")  # noqa: TRY004 - one kind of error for every wrong value
    keys = tuple(_key(path, place, entry) for place, entry in enumerate(entries))
    if len({key.digest for key in keys}) != len(keys):
        raise ValueError(f"{path}: a key is listed twice")
    return keys


def _key(path: Path, place: int, entry: object) -> ApiKey:
    where = f"{path}: keys[{place}]"
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where}: expected name, sha256, scopes …")  # noqa: TRY004 - one kind of error for every wrong value
    if unknown := sorted(map(str, entry.keys() - _FIELDS)):
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(_FIELDS))}")
    digest = str(entry.get("sha256", "")).strip().lower()
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{where}: sha256 must be 64 hexadecimal digits")
    return ApiKey(
        digest=digest,
        name=str(entry.get("name", "")),
        scopes=_scopes(where, entry.get("scopes")),
        requests_per_minute=_count(where, entry, "requests_per_minute"),
        burst_size=_count(where, entry, "burst_size"),
    )


def _scopes(where: str, value: object) -> frozenset[Scope]:
    if value is None:
        return frozenset(Scope)
    try:
        return frozenset(Scope(str(scope)) for scope in (value if isinstance(value, list) else [value]))
    except ValueError as error:
        raise ValueError(f"{where}: scopes are {', '.join(Scope)}") from error


def _count(where: str, entry: Mapping[str, Any], name: str) -> int | None:  # Any: what YAML holds
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ValueError(f"{where}: {name} must be a whole number between 1 and {_MOST}")
    return value
