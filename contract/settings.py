"""All settings of the service, frozen and handed down.  The ONLY reader of the environment.

Precedence: MEGATTS3_* over bare names (API_PORT, REDIS_URL …) over YAML over the defaults below.
Which key and which variable feeds which field is the table in setting_keys.py.  Past this file there is one
name, one unit and one type for everything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contract.api_keys import ApiKey
from contract.errors import SettingProblem
from contract.schemas import DEFAULT_VOICE


@dataclass(frozen=True)
class CorsSettings:
    enabled: bool = True
    origins: tuple[str, ...] = ("*",)
    methods: tuple[str, ...] = ("GET", "POST")
    headers: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class RateLimitSettings:
    """A bucket per API key, else per client address."""

    enabled: bool = True
    requests_per_minute: int = 30
    burst_size: int = 10
    max_wait_s: float = 0.0  # how long a burst is held back before 429
    overrides: Mapping[str, int] = field(default_factory=dict)  # key id or network (CIDR) → requests per minute


@dataclass(frozen=True)
class MonitoringSettings:
    enabled: bool = True
    metrics_port: int = 9090  # 0: off
    health_check_interval_s: float = 30.0  # between two canary sentences while speech is bad
    canary_interval_s: float = 300.0  # a sentence through the whole path so often; 0: none
    canary_voice: str = "default"


@dataclass(frozen=True)
class ApiSettings:
    host: str = "0.0.0.0"  # noqa: S104 - a server in a container must be reachable; the seed's own value
    port: int = 9000
    extra_binds: tuple[str, ...] = ()  # further "host:port" to listen on
    workers: int = 2  # processes
    timeout_s: float = 300.0  # a job submitted without a deadline of its own has this long
    max_memory_bytes: int | None = 2_000_000_000  # resident, of one process; beyond it another takes its place
    sync_wait_s: float = 160.0  # a sync answer, even an error, comes within this; the platform gives up at 180
    max_request_bytes: int = 100_000_000
    keys: tuple[str, ...] = field(default=(), repr=False)  # secrets, or their hashes; from the environment only
    file_keys: tuple[ApiKey, ...] = ()  # those of `api.keys_file`
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For is believed; "unix"
    default_voice: str = DEFAULT_VOICE  # who speaks where a request names nobody, or `default`
    cors: CorsSettings = CorsSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    monitoring: MonitoringSettings = MonitoringSettings()


@dataclass(frozen=True)
class LoggingSettings:
    level: str = "INFO"
    format: str = "%(asctime)s [%(levelname)s] %(message)s"
    file: Path | None = Path("logs/megatts3.log")  # None: standard error only
    max_bytes: int = 100_000_000
    backup_count: int = 5
    json: bool = False


@dataclass(frozen=True)
class S3Settings:
    """Where blobs lie with `storage.backend: s3`.  Keys and secrets are boto3's own business (AWS_* …)."""

    bucket: str = "megatts3"
    prefix: str = ""
    endpoint: str | None = None  # None: Amazon's own
    region: str | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True)
class TracingSettings:
    """Spans to an OTLP collector over HTTP; needs the extra `tracing`."""

    endpoint: str | None = None  # such as http://collector:4318; None: no traces
    sample_ratio: float = 1.0  # share of the traces that begin here


@dataclass(frozen=True)
class StorageSettings:
    dir: Path = Path("storage")
    voices_dir: Path = Path("storage/voices")
    cache_dir: Path = Path("storage/cache")
    temp_dir: Path = Path("storage/temp")
    jobs_dir: Path = Path("storage/jobs")
    profiles_dir: Path | None = None  # the platform's read-only `voice_profiles` mount
    backend: str = "files"  # files, s3
    s3: S3Settings = S3Settings()
    min_free_bytes: int = 100_000_000  # of the disk; with less, new work is refused and work under way goes on
    max_bytes: int | None = None  # of all blobs together, on disk
    max_voice_bytes: int = 50_000_000
    max_latent_bytes: int = 1_000_000
    supported_formats: tuple[str, ...] = ("wav", "mp3", "flac", "m4a", "ogg")


@dataclass(frozen=True)
class ModelSettings:
    name: str = "MegaTTS3-DIT"
    type: str = "diffusion_transformer"
    version: str = "1.0.0"
    checkpoint_path: Path = Path("checkpoints/mini")
    checkpoints_dir: Path | None = None  # MEGATTS3_MODEL_DIR: look for checkpoints here instead
    config_path: Path | None = None
    vocoder_type: str = "WaveVAE"
    vocoder_checkpoint_path: Path | None = None
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    precision: str = "auto"  # auto, fp32, fp16, bf16
    pronunciation: Literal["auto", "network", "dictionary"] = (
        "auto"  # auto: by the release's network where it is installed; network, dictionary
    )
    batch_size: int = 4  # rows computed together
    threads: int | None = None  # of torch, on the CPU; None: torch decides
    max_sequence_length: int | None = None  # phones of one segment; None: the checkpoint's own limit
    use_cache: bool = True
    gpu_memory_fraction: float = 1.0
    gpu_allow_growth: bool = True
    mixed_precision: bool = True

    def candidates(self) -> tuple[Path, ...]:
        """Directories that may hold the checkpoint, the wanted one first; nothing is looked at.

        `checkpoint_path` may be the directory itself or, as in the seed, `<directory>/dit_base/model.pt`.
        """
        named = self.checkpoint_path
        wanted = named.parent.parent if named.suffix else named
        if self.checkpoints_dir is None:
            return tuple(dict.fromkeys((wanted, wanted / "mini")))
        root = self.checkpoints_dir
        return tuple(dict.fromkeys((root / wanted.name, root, root / "mini")))

    def locate(self) -> Path:
        """The first candidate that has networks in it, else the first of all.  Looks at the disk."""
        marks = ("diffusion_transformer", "dit_base", "dit_large")
        found = (path for path in self.candidates() if any((path / mark).is_dir() for mark in marks))
        return next(found, self.candidates()[0])

    def locate_weights(self) -> Path:
        """What to load: the DiT's file where `checkpoint_path` names one that is there, else the directory."""
        named, directory = self.checkpoint_path, self.locate()
        file = directory / named.parent.name / named.name
        return file if named.suffix and file.is_file() else directory


@dataclass(frozen=True)
class RedisSettings:
    url: str = field(default="redis://localhost:6379", repr=False)  # may hold a password
    is_given: bool = False  # False: nobody named one, the launcher may start its own
    prefix: str = "megatts3"
    fsync: str = "always"  # of the built-in server: always, everysec
    timeout_s: float = 5.0
    connect_timeout_s: float = 3.0


@dataclass(frozen=True)
class CacheSettings:
    """The audio cache in Redis."""

    enabled: bool = True
    redis_url: str | None = field(default=None, repr=False)  # None: the same Redis as everything else
    ttl_s: int = 3600
    max_bytes: int = 1_000_000_000
    compression: bool = True
    segment_max_bytes: int = 4_000_000_000  # finished segments as blobs, so that an edited text is rendered in part
    segment_ttl_s: int = 86_400  # a segment unused for so long goes


@dataclass(frozen=True)
class JobSettings:
    keep_s: int = 86_400  # an ended job and its audio
    chunks_keep_s: int = 300
    idempotency_keep_s: int = 86_400
    lease_s: float = 9.0
    heartbeat_s: float = 2.0
    sweep_s: float = 2.0
    resend_after_s: float = 30.0  # a queued job nobody claimed: its message may be lost
    worker_ttl_s: float = 15.0
    max_attempts: int = 2
    concurrency: int = 16  # threads of a worker; a little above the rows of a batch
    max_queued_jobs: int = 10_000
    max_queued_audio_s: float = 36_000.0  # interactive work beyond this is refused


@dataclass(frozen=True)
class WebhookSettings:
    """Telling others that a job ended."""

    secret: str | None = field(default=None, repr=False)  # from the environment only; None: no webhooks
    allow_private: bool = False  # also to private, loopback and link-local addresses
    timeout_s: float = 10.0  # of one attempt


@dataclass(frozen=True)
class WorkerSettings:
    """When a worker process must be replaced by a fresh one."""

    stuck_after_s: float = 120.0  # one engine step longer than this will never end
    max_memory_bytes: int | None = None  # resident; None: nine tenths of the container's limit, if it has one


@dataclass(frozen=True)
class LimitSettings:
    """Characters and counts one request may have."""

    max_text: int = 1000
    max_text_openai: int = 4096
    max_job_text: int = 1_000_000
    max_items: int = 1000


@dataclass(frozen=True)
class Settings:
    api: ApiSettings = ApiSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()
    storage: StorageSettings = StorageSettings()
    model: ModelSettings = ModelSettings()
    redis: RedisSettings = RedisSettings()
    cache: CacheSettings = CacheSettings()
    jobs: JobSettings = JobSettings()
    webhooks: WebhookSettings = WebhookSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    warnings: tuple[SettingProblem, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)  # field → the file or variable that set it


DEFAULT_API_CONFIG = Path("configs/api_config.yaml")
DEFAULT_MODEL_CONFIG = Path("configs/model_config.yaml")


def load_settings(
    *,
    api_config: Path | None = None,
    model_config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read both files and the environment; SettingsError names every file, key and range that is wrong.

    A path of None is taken from MEGATTS3_API_CONFIG / MEGATTS3_MODEL_CONFIG, else the default, which may be
    missing; a file that was named must be there.  `environ` None is the process's own.
    """
    from contract.setting_sources import assemble  # noqa: PLC0415 - it builds the dataclasses above

    variables = os.environ if environ is None else environ
    return assemble(api_config=api_config, model_config=model_config, environ=variables)
