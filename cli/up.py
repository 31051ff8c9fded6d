"""`megatts3 up`: the whole service on one machine, until a signal."""

import contextlib
import dataclasses
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from cli.embedded_redis import remember_port
from cli.exit_codes import ExitCode, LaunchError
from cli.obituaries import Obituaries
from cli.ports import is_free
from cli.readiness import describe, is_ready, write_ready_file
from cli.roles import Role
from cli.rolling import Rolling
from cli.services import Plan, local_host, log_dir, plan_services
from cli.storage_lock import hold_storage
from cli.supervisor import POLL_S, Supervisor
from contract.errors import ServiceError
from contract.settings import Settings
from contract.stores.opening import open_stores

STILL_WAITING_EVERY_S = 15.0
REPLACED_WITHIN_S = 120.0  # a worker that loads for longer is no longer counted on
SETTLED_S = 2.5  # each API process looks at the workers for itself, once a second: all have to have seen them


@dataclass(frozen=True)
class UpOptions:
    """The command line of `megatts3 up`; None leaves a value to the settings."""

    api_config: Path | None = None
    model_config: Path | None = None
    host: str | None = None
    port: int | None = None
    workers: int | None = None
    devices: tuple[str, ...] = ()
    role: Role = Role.ALL
    ready_file: Path | None = None
    ready_timeout_s: float = 900.0


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} megatts3 {line}", flush=True)


def run(settings: Settings, options: UpOptions) -> ExitCode:
    """Start everything, wait until it is ready, watch until told to stop, bring it down in order.

    Raises LaunchError when the service cannot be started or kept up.
    """
    settings = with_options(settings, options)
    for warning in settings.warnings:
        say(f"warning: {warning.source}: {warning.key}: {warning.message}")
    role = options.role
    if role.has_worker:
        require_checkpoint(settings)
    with contextlib.ExitStack() as held:
        if role is Role.ALL:  # parts share their storage, and none of them has files of its own there
            held.enter_context(hold_storage(settings.storage.dir))
        if role.has_api:
            require_free_port(settings)
        metrics_dir = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="megatts3-metrics-")))
        plan = plan_services(
            settings,
            api_config=options.api_config,
            model_config=options.model_config,
            devices=options.devices,
            role=role,
            metrics_dir=metrics_dir,
        )
        announce(plan)
        stop = StopRequest()
        obituaries = Obituaries(open_stores(plan.settings), plan.settings.storage.temp_dir)
        supervisor = Supervisor(plan.services, clock=time.monotonic, say=say, hurry=stop.hurry, ended=obituaries.note)
        try:
            stop.listen()
            if plan.has_own_redis:
                remember_port(settings.storage.dir / "redis", urlsplit(plan.settings.redis.url).port or 0)
            supervisor.start()
            if wait_until_ready(supervisor, plan, options, stop.wanted):
                supervisor.was_ready = True
                report_ready(supervisor, plan, options)
                is_up, is_leaving = ready_in_registry(plan.settings), await_successor(plan.settings)
                rolling = Rolling(supervisor, is_up=is_up, say=say, is_leaving=is_leaving)
                while not stop.wanted.wait(POLL_S):
                    supervisor.tick()
                    if stop.renewal.is_set():
                        stop.renewal.clear()
                        rolling.begin()
                    rolling.tick()
            say("stopping: requests first, then running jobs, then Redis")
        finally:
            if options.ready_file is not None:
                options.ready_file.unlink(missing_ok=True)
            supervisor.stop()
    say("stopped")
    return ExitCode.OK


class StopRequest:
    """The first SIGTERM or Ctrl-C asks for an orderly stop, a second one for an immediate one; SIGHUP for a renewal."""

    def __init__(self) -> None:
        self.wanted, self.hurry, self.renewal = threading.Event(), threading.Event(), threading.Event()

    def listen(self) -> None:
        """From now on, to the end: the drain must not be cut short by a signal's default action."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGHUP, lambda _signum, _frame: self.renewal.set())

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        (self.hurry if self.wanted.is_set() else self.wanted).set()


def with_options(settings: Settings, options: UpOptions) -> Settings:
    """The command line wins over files and environment."""
    api = settings.api
    chosen = dataclasses.replace(
        api,
        host=options.host or api.host,
        port=options.port or api.port,
        workers=options.workers or api.workers,
    )
    return dataclasses.replace(settings, api=chosen)


def require_free_port(settings: Settings) -> None:
    host, port = settings.api.host, settings.api.port
    if not is_free(host, port):
        raise LaunchError(
            ExitCode.PORT_BUSY,
            f"port {port} on {host} is taken by another program; "
            f"stop it, or choose another: megatts3 up --port {port + 1}  (or MEGATTS3_PORT={port + 1})",
        )


def require_checkpoint(settings: Settings) -> None:
    found = settings.model.locate()
    if not found.is_dir():
        tried = ", ".join(str(path) for path in settings.model.candidates())
        raise LaunchError(ExitCode.BAD_SETTINGS, f"no checkpoint: looked at {tried} (MEGATTS3_MODEL_DIR)")


def base_url(settings: Settings) -> str:
    """How this machine reaches the API; a wildcard address is nothing one can connect to."""
    return f"http://{local_host(settings)}:{settings.api.port}"


def announce(plan: Plan) -> None:
    settings = plan.settings
    say(
        f"checkpoint {settings.model.locate()}, device {settings.model.device}, "
        f"precision {settings.model.precision}, up to {settings.model.batch_size} rows a batch"
    )
    monitoring = settings.api.monitoring
    if plan.metrics_url is not None:
        say(f"metrics: {plan.metrics_url}")
    elif monitoring.enabled and monitoring.metrics_port:
        say(f"warning: port {monitoring.metrics_port} is taken: no metrics (another: MEGATTS3_METRICS_PORT)")
    say(f"storage {settings.storage.dir.resolve()}, logs {log_dir(settings).resolve()}")
    if plan.has_own_redis:
        say(f"redis: built-in, on {settings.redis.url}, data in {settings.storage.dir / 'redis'}")
    else:
        say("redis: the one that REDIS_URL or the configuration names")


def wait_until_ready(supervisor: Supervisor, plan: Plan, options: UpOptions, stop: threading.Event) -> bool:
    """False: asked to stop first.  Raises LaunchError when a service keeps failing or time is up."""
    began = time.monotonic()
    say_again_at = began + STILL_WAITING_EVERY_S
    ready_since: float | None = None
    while True:
        supervisor.tick()
        ready, now = part_is_ready(plan.settings, options.role), time.monotonic()
        ready_since = (ready_since or now) if ready else None
        if ready_since is not None and now - ready_since >= SETTLED_S:
            return True
        if now - began > options.ready_timeout_s:
            raise LaunchError(
                ExitCode.SERVICE_FAILED,
                f"not ready after {options.ready_timeout_s:g} s; see the logs in {log_dir(plan.settings)}",
            )
        if now > say_again_at:
            say(f"still starting ({now - began:.0f} s): the worker loads its model")
            say_again_at = now + STILL_WAITING_EVERY_S
        if stop.wait(POLL_S):
            return False


def part_is_ready(settings: Settings, role: Role) -> bool:
    """All of it: speech can be had.  The API alone: it answers.  Workers alone: one of this machine is ready."""
    if role is Role.WORKER:
        try:
            workers = open_stores(settings).workers.list()
        except ServiceError:
            return False
        return any(worker.ready and worker.host == socket.gethostname() for worker in workers)
    return is_ready(base_url(settings), path="/health" if role is Role.ALL else "/health/live")


def ready_in_registry(settings: Settings) -> Callable[[str, int], bool]:
    """Whether a worker of this process id says that it is ready."""
    workers = open_stores(settings).workers

    def is_up(_name: str, pid: int) -> bool:
        try:
            return any(worker.pid == pid and worker.ready for worker in workers.list())
        except ServiceError:
            return False

    return is_up


def await_successor(settings: Settings) -> Callable[[int], None]:
    """Tell the API that the worker of this process id is only being replaced."""
    workers = open_stores(settings).workers

    def tell(pid: int) -> None:
        with contextlib.suppress(ServiceError):  # then new work is refused meanwhile
            for worker in workers.list():
                if worker.pid == pid and worker.ready:
                    workers.await_again(worker, ttl_s=REPLACED_WITHIN_S)

    return tell


def report_ready(supervisor: Supervisor, plan: Plan, options: UpOptions) -> None:
    settings, url = plan.settings, base_url(plan.settings)
    try:
        workers = open_stores(settings).workers.list()
    except ServiceError:  # the service answered; its description is no reason to fail
        workers = ()
    for worker in workers:
        say(describe(worker))
    if not options.role.has_api:
        say("ready: takes jobs")
    else:
        say(f"ready: {url}  (health {url}/health, synthesis POST {url}/api/v1/tts/synthesize)")
    if options.ready_file is not None:
        facts: dict[str, object] = {
            "url": url if options.role.has_api else None,
            "metrics_url": plan.metrics_url,
            "pids": supervisor.pids(),
            "redis_url": settings.redis.url if plan.has_own_redis else None,  # another may hold a password
            "logs": str(log_dir(settings).resolve()),
            "devices": [worker.device for worker in workers],
        }
        write_ready_file(options.ready_file, facts)
