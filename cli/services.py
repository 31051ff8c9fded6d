"""What one machine runs: Redis (unless one was named), a worker a device, the API.  In starting order."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.embedded_redis import embedded_redis, server_binary
from cli.ports import free_port
from cli.processes import ServiceSpec
from contract.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
GUNICORN_CONFIG = PROJECT / "configs" / "gunicorn.py"
API_STOP_S = 40.0  # open requests end or are given up; gunicorn's own graceful time is shorter
WORKER_STOP_S = 45.0  # a worker drains for worker.app.DRAIN_S, then hands its jobs back


@dataclass(frozen=True)
class Plan:
    """The services to run and the settings they get, the Redis in use included."""

    settings: Settings
    services: tuple[ServiceSpec, ...]
    has_own_redis: bool


def log_dir(settings: Settings) -> Path:
    return settings.logging.file.parent if settings.logging.file is not None else Path("logs")


def plan_services(
    settings: Settings, *, api_config: Path | None, model_config: Path | None, devices: tuple[str, ...] = ()
) -> Plan:
    """Decide what to run.  Raises LaunchError (NO_REDIS) when there is neither a URL nor a binary."""
    logs = log_dir(settings)
    services: list[ServiceSpec] = []
    has_own_redis = not settings.redis.is_given
    if has_own_redis:
        port = free_port()
        services.append(
            embedded_redis(
                server_binary(),
                port=port,
                data_dir=settings.storage.dir / "redis",
                log_path=logs / "redis.log",
            )
        )
        redis = dataclasses.replace(settings.redis, url=f"redis://127.0.0.1:{port}", is_given=True)
        settings = dataclasses.replace(settings, redis=redis)

    env = {
        "MEGATTS3_REDIS_URL": settings.redis.url,
        "MEGATTS3_HOST": settings.api.host,
        "MEGATTS3_PORT": str(settings.api.port),
        "MEGATTS3_WORKERS": str(settings.api.workers),
    }
    if api_config is not None:
        env["MEGATTS3_API_CONFIG"] = str(api_config.resolve())
    if model_config is not None:
        env["MEGATTS3_MODEL_CONFIG"] = str(model_config.resolve())

    for index, device in enumerate(devices or (settings.model.device,)):
        services.append(_worker(settings, f"worker{index}", env | {"MEGATTS3_INFERENCE_DEVICE": device}, logs))
    services.append(
        ServiceSpec(
            "api",
            (sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONFIG), "megatts3_server.wsgi:app"),
            logs / "api.log",
            API_STOP_S,
            env=env,
        )
    )
    return Plan(settings, tuple(services), has_own_redis)


def _worker(settings: Settings, name: str, env: dict[str, str], logs: Path) -> ServiceSpec:
    """Threads, not processes: step-level batching needs all rows in one process with one engine."""
    argv = (
        *(sys.executable, "-m", "celery", "-A", "worker.app", "worker"),
        *("--pool", "threads", "--concurrency", str(settings.jobs.concurrency)),
        *("--hostname", f"{name}@%h", "--loglevel", settings.logging.level),
        *("--without-gossip", "--without-mingle"),  # workers need to know nothing of each other
    )
    return ServiceSpec(name, argv, logs / f"{name}.log", WORKER_STOP_S, env=env)
