"""The API as it ships, on free ports with a Redis and a storage of its own: what scripts/ measure and fuzz."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.embedded_redis import embedded_redis, server_binary
from cli.ports import free_port
from contract.settings import load_settings
from contract.stores.interfaces import Stores
from contract.stores.opening import open_stores

ROOT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 60


@dataclass(frozen=True)
class ApiProcess:
    """pid: gunicorn's master.  log: what it said."""

    port: int
    pid: int
    log: Path
    stores: Stores
    redis_url: str


def environment(folder: Path, *, redis_port: int, api_port: int, processes: int = 1) -> dict[str, str]:
    """Of every process of such a service: no setting of the caller's own gets in."""
    for name in ("api.yaml", "model.yaml"):
        (folder / name).write_text("{}\n")
    kept = {name: value for name, value in os.environ.items() if "MEGATTS3" not in name and "REDIS" not in name}
    return kept | {
        "MEGATTS3_REDIS_URL": f"redis://127.0.0.1:{redis_port}",
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_PORT": str(api_port),
        "MEGATTS3_WORKERS": str(processes),
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_RATE_LIMIT_ENABLED": "false",
        "MEGATTS3_METRICS_PORT": "0",
        "MEGATTS3_API_CONFIG": str(folder / "api.yaml"),
        "MEGATTS3_MODEL_CONFIG": str(folder / "model.yaml"),
    }


@contextmanager
def api_process(folder: Path, processes: int, settings: Mapping[str, str] | None = None) -> Iterator[ApiProcess]:
    """Started, not waited for.  settings: further variables."""
    redis_port, port = free_port(), free_port()
    environ = environment(folder, redis_port=redis_port, api_port=port, processes=processes) | dict(settings or {})
    redis = embedded_redis(server_binary(), port=redis_port, data_dir=folder / "redis", log_path=folder / "redis.log")
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "configs" / "gunicorn.py")]
    started: list[subprocess.Popen[bytes]] = []
    with ExitStack() as logs:
        try:
            for name, command in (("redis", list(redis.argv)), ("api", gunicorn)):
                log = logs.enter_context((folder / f"{name}.log").open("wb"))
                started.append(subprocess.Popen(command, env=environ, cwd=ROOT, stdout=log, stderr=log))
            stores = open_stores(load_settings(environ=environ))
            yield ApiProcess(port, started[-1].pid, folder / "api.log", stores, environ["MEGATTS3_REDIS_URL"])
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(STOP_WITHIN_S)
