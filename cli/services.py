"""What one machine runs: Redis (unless one was named), a worker a device, the API.  In starting order."""

import dataclasses
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.embedded_redis import embedded_redis, server_binary
from cli.exit_codes import ExitCode, LaunchError
from cli.ports import free_port, is_free
from cli.processes import ServiceSpec
from cli.roles import Role
from contract.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
GUNICORN_CONFIG = PROJECT / "configs" / "gunicorn.py"
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own variable
API_STOP_MORE_S = 20.0  # beyond the longest sync answer; gunicorn's own graceful time is shorter
MONITOR_STOP_S = 5.0
WORKER_STOP_S = 45.0  # a worker drains for worker.app.DRAIN_S, then hands its jobs back


@dataclass(frozen=True)
class Plan:
    """The services to run and the settings they get, the Redis in use included."""

    settings: Settings
    services: tuple[ServiceSpec, ...]
    has_own_redis: bool
    metrics_url: str | None = None  # None: no figures are kept


def api_stop_s(settings: Settings) -> float:
    """Seconds an API process may take to stop: an accepted sync request is still answered."""
    return settings.api.sync_wait_s + API_STOP_MORE_S


def log_dir(settings: Settings) -> Path:
    return settings.logging.file.parent if settings.logging.file is not None else Path("logs")


def plan_services(
    settings: Settings,
    *,
    api_config: Path | None,
    model_config: Path | None,
    devices: tuple[str, ...] = (),
    role: Role = Role.ALL,
    metrics_dir: Path | None = None,
) -> Plan:
    """Decide what to run.  Raises LaunchError (NO_REDIS) when there is neither a URL nor a binary.

    metrics_dir: where the processes leave their figures; None, or a metrics port of 0 or one that is taken: nowhere
    """
    logs = log_dir(settings)
    services: list[ServiceSpec] = []
    has_own_redis = not settings.redis.is_given
    if has_own_redis and role is not Role.ALL:
        raise LaunchError(ExitCode.NO_REDIS, f"--only {role.value} needs the Redis of the others: set REDIS_URL")
    if has_own_redis:
        port = free_port()
        services.append(
            embedded_redis(
                server_binary(),
                port=port,
                data_dir=settings.storage.dir / "redis",
                log_path=logs / "redis.log",
                fsync=settings.redis.fsync,
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

    metrics_url = _metrics_url(settings) if metrics_dir is not None else None
    if metrics_dir is not None and metrics_url is not None:
        env[MULTIPROCESS_DIR] = str(metrics_dir)

    if role.has_worker:
        for index, device in enumerate(devices or (settings.model.device,)):
            services.append(_worker(settings, f"worker{index}", env | {"MEGATTS3_INFERENCE_DEVICE": device}, logs))
    if role.has_api:
        argv = (sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONFIG), "megatts3_server.wsgi:app")
        stop_s = api_stop_s(settings)
        spec = ServiceSpec("api", argv, logs / "api.log", stop_s, env=env, renews=True, renew_signal=signal.SIGHUP)
        services.append(spec)
    if metrics_dir is not None and metrics_url is not None:
        services.append(_monitor(settings, metrics_dir, env, logs, role))
    return Plan(settings, tuple(services), has_own_redis, metrics_url)


def _metrics_url(settings: Settings) -> str | None:
    """Where the figures will be; None when they are off, or when another program has the port."""
    monitoring = settings.api.monitoring
    if not monitoring.enabled or not monitoring.metrics_port:
        return None
    if not is_free(settings.api.host, monitoring.metrics_port):
        return None
    return f"http://{local_host(settings)}:{monitoring.metrics_port}/metrics"


def local_host(settings: Settings) -> str:
    """How this machine reaches what it binds; a wildcard address is nothing one can connect to."""
    host = settings.api.host
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound


def _monitor(settings: Settings, metrics_dir: Path, env: dict[str, str], logs: Path, role: Role) -> ServiceSpec:
    """The listener, and, beside an API, the canary.  Without it the service goes on, unobserved."""
    argv = [sys.executable, "-m", "monitor", "--files", str(metrics_dir)]
    argv += ["--port", str(settings.api.monitoring.metrics_port)]
    if role.has_api:
        argv += ["--service", f"http://{local_host(settings)}:{settings.api.port}"]
    own = {name: value for name, value in env.items() if name != MULTIPROCESS_DIR}  # it reads, and counts nothing
    return ServiceSpec("monitor", tuple(argv), logs / "monitor.log", MONITOR_STOP_S, env=own, is_vital=False)


def _worker(settings: Settings, name: str, env: dict[str, str], logs: Path) -> ServiceSpec:
    """Threads, not processes: step-level batching needs all rows in one process with one engine."""
    argv = (
        *(sys.executable, "-m", "celery", "-A", "worker.app", "worker"),
        *("--pool", "threads", "--concurrency", str(settings.jobs.concurrency)),
        *("--hostname", f"{name}@%h", "--loglevel", settings.logging.level),
        *("--without-gossip", "--without-mingle"),  # workers need to know nothing of each other
    )
    return ServiceSpec(name, argv, logs / f"{name}.log", WORKER_STOP_S, env=env, holds_jobs=True, renews=True)
