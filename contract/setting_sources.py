"""From YAML files and variables to Settings: who wins, what is unknown, what is out of range."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from contract.errors import SettingProblem, SettingsError
from contract.setting_keys import (
    API_CONFIG,
    KEYS,
    LOG_DIR,
    MODEL_CONFIG,
    OTHER_VARIABLES,
    PREFIX,
    STORAGE_FOLDERS,
    Key,
)
from contract.settings import DEFAULT_API_CONFIG, DEFAULT_MODEL_CONFIG, Settings

_T = TypeVar("_T")
_GROUPS = {key.path.split(".", 1)[0] for key in KEYS}


@dataclasses.dataclass
class _Gathering:
    """Values found so far; filled by the functions below, from weak to strong."""

    values: dict[str, Any] = dataclasses.field(default_factory=dict)  # Any: fields have many types
    origins: dict[str, str] = dataclasses.field(default_factory=dict)
    from_environment: set[str] = dataclasses.field(default_factory=set)
    problems: list[SettingProblem] = dataclasses.field(default_factory=list)
    warnings: list[SettingProblem] = dataclasses.field(default_factory=list)

    def take(self, key: Key, value: object, *, source: str, name: str) -> None:
        try:
            self.values[key.target] = key.parse(value)
        except ValueError as error:
            message = "the value cannot be used" if key.secret else str(error)
            self.problems.append(SettingProblem(source, name, message))
        else:
            self.origins[key.target] = f"{source}: {name}" if source != name else name


def assemble(*, api_config: Path | None, model_config: Path | None, environ: Mapping[str, str]) -> Settings:
    """See settings.load_settings."""
    found = _Gathering()
    files = (
        (model_config or _named(environ, MODEL_CONFIG), DEFAULT_MODEL_CONFIG),
        (api_config or _named(environ, API_CONFIG), DEFAULT_API_CONFIG),
    )
    documents = [_read(given or default, must_exist=given is not None) for given, default in files]
    for source, document in documents:
        _take_document(found, source, document)
    _take_environment(found, environ)
    _place_folders(found, environ)
    if found.problems:
        raise SettingsError(tuple(found.problems))
    if "redis.url" in found.values or found.values.get("cache.redis_url"):
        found.values.setdefault("redis.url", found.values.get("cache.redis_url"))
        found.values["redis.is_given"] = True
    settings = _replaced(Settings(), found.values, "")
    return dataclasses.replace(settings, warnings=tuple(found.warnings), origins=found.origins)


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    return Path(environ[variable]) if environ.get(variable) else None


def _read(path: Path, *, must_exist: bool) -> tuple[str, dict[str, Any]]:
    source = str(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise SettingsError((SettingProblem(source, "file", "no such file"),)) from None
        return source, {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError((SettingProblem(source, "file", f"cannot be read: {error}"),)) from error
    if document is None:
        return source, {}
    if not isinstance(document, dict):
        raise SettingsError((SettingProblem(source, "file", "expected keys with values"),))
    return source, document


def _leaves(document: Mapping[str, Any], below: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and values; a mapping that is itself a value (rate overrides) is a leaf."""
    known = {key.path for key in KEYS}
    for name, value in document.items():
        path = f"{below}{name}"
        if isinstance(value, dict) and path not in known:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _take_document(found: _Gathering, source: str, document: Mapping[str, Any]) -> None:
    leaves = dict(_leaves(document))
    for key in KEYS:
        if key.path in leaves and key.secret:
            message = f"secrets come from the environment only: set {key.variable}"
            found.warnings.append(SettingProblem(source, key.path, message))
        elif key.path in leaves and leaves[key.path] is not None:
            found.take(key, leaves[key.path], source=source, name=key.path)
    known = [key.path for key in KEYS]
    for path, value in leaves.items():
        if path in _GROUPS and value is not None:
            found.problems.append(SettingProblem(source, path, "expected keys with values"))
        elif path not in known and path not in _GROUPS:
            found.warnings.append(SettingProblem(source, path, f"unknown key{_nearest(path, known)}"))


def _take_environment(found: _Gathering, environ: Mapping[str, str]) -> None:
    """Bare names first, then MEGATTS3_* over them; among those the later key of the table wins."""
    present = {name: value for name, value in environ.items() if value.strip()}
    for names_of in ("bare", "short", "variable"):
        for key in KEYS:
            listed = (key.variable,) if names_of == "variable" else getattr(key, names_of)
            for name in listed:
                if name in present:
                    found.take(key, present[name], source=name, name=name)
                    found.from_environment.add(key.target)
    known = [name for key in KEYS for name in key.prefixed] + list(OTHER_VARIABLES)
    for name in present:
        if name.startswith(PREFIX) and name not in known:
            close = _nearest(name.removeprefix(PREFIX), [n.removeprefix(PREFIX) for n in known])
            message = "unknown variable" + close.replace("mean ", f"mean {PREFIX}")
            found.warnings.append(SettingProblem(name, name, message))


def _place_folders(found: _Gathering, environ: Mapping[str, str]) -> None:
    """`storage.dir` and MEGATTS3_LOG_DIR move what lies below them, unless a stronger source placed it."""
    moved_by_variable = "storage.dir" in found.from_environment
    if "storage.dir" in found.values:
        own_variables = {key.target: key.variable for key in KEYS}
        for target, folder in STORAGE_FOLDERS.items():
            placed = environ.get(own_variables[target]) if moved_by_variable else target in found.values
            if not placed:
                found.values[target] = found.values["storage.dir"] / folder
    elif "storage.voices_dir" in found.values:  # the seed names no common folder: the rest lies beside
        found.values["storage.dir"] = found.values["storage.voices_dir"].parent
        found.values.setdefault("storage.jobs_dir", found.values["storage.dir"] / "jobs")
    if environ.get(LOG_DIR) and not environ.get("MEGATTS3_LOGGING_FILE"):
        name = (found.values.get("logging.file") or Settings().logging.file or Path("megatts3.log")).name
        found.values["logging.file"] = Path(environ[LOG_DIR]) / name


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _replaced(record: _T, values: Mapping[str, Any], below: str) -> _T:
    """A copy of a nested frozen dataclass with the values at their dotted paths."""
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(record):  # type: ignore[arg-type] # a dataclass by construction
        path = f"{below}{item.name}"
        current = getattr(record, item.name)
        if path in values:
            changes[item.name] = values[path]
        elif dataclasses.is_dataclass(current):
            changes[item.name] = _replaced(current, values, f"{path}.")
    return dataclasses.replace(record, **changes)  # type: ignore[type-var] # as above
