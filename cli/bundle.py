"""The doctor's archive for support: findings, settings, versions, the ends of the logs.  No secret and no text.

Settings are written from the table that says which are secret; what remains is searched for the secrets' values once
more, and for anything that looks like a password in a URL.
"""

import dataclasses
import io
import json
import platform
import re
import sys
import tarfile
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from cli.findings import Finding
from cli.processes import last_lines
from cli.services import log_dir
from contract.setting_keys import KEYS
from contract.settings import Settings

LOG_LINES = 2000
HIDDEN = "(hidden)"
_PASSWORD = re.compile(r"(\w+://)[^/\s@]*@")  # of a URL


def write_bundle(
    path: Path, findings: Sequence[Finding], settings: Settings | None, configs: Iterable[Path | None]
) -> None:
    """A .tar.gz; an older one of the name is replaced."""
    secrets = secrets_of(settings)
    files = {
        "doctor.txt": "\n".join(finding.line() for finding in findings) + "\n",
        "machine.json": json.dumps(_machine(), indent=2),
        "packages.txt": "\n".join(sorted(f"{d.name}=={d.version}" for d in metadata.distributions())) + "\n",
    }
    if settings is not None:
        files["settings.json"] = json.dumps(_shown(settings), indent=2, ensure_ascii=False)
        for log in sorted(log_dir(settings).glob("*.log")):
            files[f"logs/{log.name}"] = "\n".join(last_lines(log, LOG_LINES)) + "\n"
    for config in configs:
        if config is not None and config.is_file():
            files[f"configs/{config.name}"] = config.read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            data = redacted(text, secrets).encode()
            entry = tarfile.TarInfo(f"megatts3-support/{name}")
            entry.size, entry.mtime = len(data), int(time.time())
            archive.addfile(entry, io.BytesIO(data))


def secrets_of(settings: Settings | None) -> tuple[str, ...]:
    """Every secret value there is, longest first."""
    if settings is None:
        return ()
    found: set[str] = set()
    for key in KEYS:
        if key.secret:
            value = _value(settings, key.target)
            found |= set(map(str, value)) if isinstance(value, tuple | list) else {str(value)} if value else set()
    return tuple(sorted((s for s in found if s), key=len, reverse=True))


def redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _PASSWORD.sub(rf"\1{HIDDEN}@", text)


def _shown(settings: Settings) -> dict[str, object]:
    """Setting by key, and where it came from; a secret only as given or not."""
    shown: dict[str, object] = {}
    for key in KEYS:
        value = _value(settings, key.target)
        told = (HIDDEN if value else None) if key.secret else value
        shown[key.path] = {"value": _plain(told), "from": settings.origins.get(key.target, "default")}
    return shown


def _value(settings: Settings, target: str) -> object:
    value: object = settings
    for part in target.split("."):
        value = getattr(value, part)
    return value


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) or isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(v) for v in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _machine() -> dict[str, object]:
    return {"platform": platform.platform(), "python": sys.version, "machine": platform.machine()}
