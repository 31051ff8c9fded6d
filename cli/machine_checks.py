"""What the doctor looks at from outside the service: Python, Redis, disk, ports, the service itself."""

import json
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from cli.embedded_redis import remembered_url, server_binary
from cli.exit_codes import LaunchError
from cli.findings import Finding, fail, ok, warn
from cli.ports import is_free
from cli.services import local_host, log_dir
from contract.settings import RedisSettings, Settings

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 12)
OLDEST_REDIS = (6, 2)  # kombu restores messages with ZRANGE … BYSCORE REV
FULL_PERCENT, LEAST_FREE_BYTES = 80, 200_000_000
NOT_TO_EVICT = "noeviction"


def check_python() -> Finding:
    found = sys.version_info[:2]
    text = ".".join(map(str, found))
    if OLDEST_PYTHON <= found <= NEWEST_PYTHON:
        return ok("python", text)
    return fail("python", f"{text}: made for 3.11", "make setup with PYTHON=/path/to/python3.11")


def check_redis(settings: Settings) -> Iterator[Finding]:
    """The broker, and the cache's own where one was named."""
    if not settings.redis.is_given:
        yield from _embedded(settings)
        return
    yield from _server("redis", settings.redis, settings.redis.url, keeps_jobs=True)
    if settings.cache.enabled and settings.cache.redis_url not in {None, settings.redis.url}:
        yield from _server("redis cache", settings.redis, str(settings.cache.redis_url), keeps_jobs=False)


def _embedded(settings: Settings) -> Iterator[Finding]:
    try:
        server_binary()
    except LaunchError as error:
        yield fail("redis", "none was named, and there is no built-in one", error.message)
        return
    url = remembered_url(settings.storage.dir / "redis")
    state = "running" if url is not None and _answers(url) else "starts with the service"
    yield ok("redis", f"built-in; {state}")


def _answers(url: str) -> bool:
    try:
        with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _server(subject: str, settings: RedisSettings, url: str, *, keeps_jobs: bool) -> Iterator[Finding]:
    where = url.rpartition("@")[2].removeprefix("redis://")  # without a password
    try:
        with Redis.from_url(
            url, socket_timeout=settings.timeout_s, socket_connect_timeout=settings.connect_timeout_s
        ) as client:
            about = client.info()
    except AuthenticationError:
        yield fail(subject, f"{where} wants a password", "put it into REDIS_URL: redis://:PASSWORD@host:6379")
        return
    except ResponseError as error:
        said, is_old = str(error).partition(".")[0], "unknown command" in str(error)
        remedy = (
            "6.2 or newer is needed" if is_old else "its own configuration: protected-mode, users, the command INFO"
        )
        yield fail(subject, f"{where} refuses: {said}", remedy)
        return
    except RedisError as error:
        yield fail(
            subject,
            f"{where} does not answer ({type(error).__name__})",
            "start it, or name another one in REDIS_URL; unset it to use the built-in one",
        )
        return
    assert isinstance(about, dict)
    version = str(about["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield fail(subject, f"{where} is version {version}", "6.2 or newer is needed")
        return
    problems = []
    policy = str(about.get("maxmemory_policy", NOT_TO_EVICT))
    if keeps_jobs and int(about.get("maxmemory", 0)) and policy != NOT_TO_EVICT:
        yield fail(
            subject,
            f"{where}: maxmemory-policy {policy} may evict jobs and voices",
            f"redis-cli CONFIG SET maxmemory-policy {NOT_TO_EVICT}, and the same in its configuration file",
        )
        return
    if keeps_jobs and policy != NOT_TO_EVICT:
        problems.append((f"maxmemory-policy is {policy}", f"redis-cli CONFIG SET maxmemory-policy {NOT_TO_EVICT}"))
    if keeps_jobs and not int(about.get("aof_enabled", 0)):
        problems.append(("no append-only file: a restart loses jobs and voices", "appendonly yes"))
    if problems:
        seen, remedies = zip(*problems, strict=True)
        yield warn(subject, f"{where}, version {version}; {'; '.join(seen)}", "; ".join(remedies))
    else:
        yield ok(subject, f"{where}, version {version}, {policy}")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Every folder the service writes to: there or to be made, writable, not full."""
    folders = {"storage": settings.storage.dir, "voices": settings.storage.voices_dir, "logs": log_dir(settings)}
    told: set[int] = set()
    for name, folder in folders.items():
        nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=nearest):
                pass
        except OSError as error:
            remedy = f"chown -R {os.getuid()} {folder}, or place it elsewhere (MEGATTS3_STORAGE_DIR, MEGATTS3_LOG_DIR)"
            yield fail("disk", f"{name}: {nearest} cannot be written to ({error.strerror})", remedy)
            continue
        if nearest.stat().st_dev in told:
            continue
        told.add(nearest.stat().st_dev)
        usage = shutil.disk_usage(nearest)
        percent = round(100 * usage.used / usage.total)
        seen = f"{name}: {usage.free / 1e9:.1f} GB free, {percent} % used"
        if usage.free < LEAST_FREE_BYTES:
            yield fail("disk", seen, f"make room on the disk of {nearest}; jobs.keep_s says how long audio is kept")
        elif percent > FULL_PERCENT:
            yield warn("disk", seen, f"make room on the disk of {nearest}; jobs.keep_s says how long audio is kept")
        else:
            yield ok("disk", seen)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Free, or ours."""
    api, monitoring = settings.api, settings.api.monitoring
    if is_free(api.host, api.port):
        yield ok("ports", f"{api.port} is free")
    elif health_of(settings) is not None:
        yield ok("ports", f"{api.port} is this service's")
    else:
        yield fail("ports", f"{api.port} is taken by another program", "ss -ltnp shows it; or MEGATTS3_PORT")
    port = monitoring.metrics_port
    if monitoring.enabled and port and not is_free(api.host, port) and not _is_our_listener(settings):
        yield warn("ports", f"{port} is taken: there will be no metrics", "another: MEGATTS3_METRICS_PORT")


def _get(url: str) -> tuple[int, bytes] | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own http URL
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (urllib.error.URLError, OSError, ValueError):
        return None


def health_of(settings: Settings) -> dict[str, object] | None:
    """What /health of the service here says; None: nobody of ours answers."""
    answer = _get(f"http://{local_host(settings)}:{settings.api.port}/health")
    try:
        found = json.loads(answer[1]) if answer is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and "model_loaded" in found else None


def _is_our_listener(settings: Settings) -> bool:
    answer = _get(f"http://{local_host(settings)}:{settings.api.monitoring.metrics_port}/metrics")
    return answer is not None and b"megatts3_" in answer[1]


def check_service(settings: Settings) -> Finding:
    health = health_of(settings)
    if health is None:
        return ok("service", "not running here")
    if health.get("status") == "healthy":
        return ok("service", f"running, healthy, version {health.get('version')}")
    return fail("service", f"running, not healthy: {health.get('reason', 'no reason given')}", "see logs/ and below")
