"""The table of settings: YAML key → field of Settings, its kind and range, and its variables.

Every key has the variable `MEGATTS3_` + its path in upper case, a leading `api.` or `model.` left out.
`short` are further MEGATTS3_ names, `bare` those without the prefix.  Where several keys feed one field, the
later in the table wins within the YAML files.
"""

from __future__ import annotations

from dataclasses import dataclass

from contract.setting_values import (
    Parser,
    boolean,
    choice,
    integer,
    key_file,
    names,
    networks,
    number,
    optional_path,
    optional_url,
    path,
    prefix,
    rates,
    redis_url,
    secret_keys,
    size,
    text,
    webhook_secret,
)

PREFIX = "MEGATTS3_"


@dataclass(frozen=True)
class Key:
    path: str  # in the YAML files
    target: str  # in Settings
    parse: Parser
    short: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    secret: bool = False  # from the environment only, never shown

    @property
    def variable(self) -> str:
        head, _, rest = self.path.partition(".")
        return PREFIX + (rest if head in {"api", "model"} else self.path).replace(".", "_").upper()

    @property
    def prefixed(self) -> tuple[str, ...]:
        return (self.variable, *self.short)


DEVICES = r"auto|cpu|mps|cuda(:\d+)?"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PORT = integer(1, 65_535)
SECONDS = number(0.05, 1e6)
BYTES = size(1, 2**50)

KEYS: tuple[Key, ...] = (
    # --- api
    Key("api.host", "api.host", text(), bare=("API_HOST",)),
    Key("api.port", "api.port", PORT, bare=("API_PORT",)),
    Key("api.extra_binds", "api.extra_binds", names()),
    Key("api.workers", "api.workers", integer(1, 256), bare=("WORKERS",)),
    Key("api.timeout", "api.timeout_s", number(1, 86_400)),
    Key("api.max_memory", "api.max_memory_bytes", BYTES),
    Key("api.sync_wait", "api.sync_wait_s", number(1, 165)),
    Key("api.max_request_size", "api.max_request_bytes", BYTES),
    Key("api.keys", "api.keys", secret_keys(), short=("MEGATTS3_API_KEYS",), secret=True),
    Key("api.keys_file", "api.file_keys", key_file(), short=("MEGATTS3_API_KEYS_FILE",)),
    Key("api.trusted_proxies", "api.trusted_proxies", networks("unix")),
    Key("api.default_voice", "api.default_voice", text()),
    Key("api.cors.enabled", "api.cors.enabled", boolean()),
    Key("api.cors.origins", "api.cors.origins", names()),
    Key("api.cors.methods", "api.cors.methods", names()),
    Key("api.cors.headers", "api.cors.headers", names()),
    Key("api.rate_limit.enabled", "api.rate_limit.enabled", boolean()),
    Key("api.rate_limit.requests_per_minute", "api.rate_limit.requests_per_minute", integer(1, 10**6)),
    Key("api.rate_limit.burst_size", "api.rate_limit.burst_size", integer(1, 10**6)),
    Key("api.rate_limit.max_wait_s", "api.rate_limit.max_wait_s", number(0, 150)),
    Key("api.rate_limit.overrides", "api.rate_limit.overrides", rates()),
    Key("api.monitoring.enabled", "api.monitoring.enabled", boolean()),
    Key(
        "api.monitoring.metrics_port",
        "api.monitoring.metrics_port",
        integer(0, 65_535),
        short=("MEGATTS3_METRICS_PORT",),
    ),
    Key("api.monitoring.health_check_interval", "api.monitoring.health_check_interval_s", number(1, 86_400)),
    Key("api.monitoring.canary_interval", "api.monitoring.canary_interval_s", number(0, 86_400)),
    Key("api.monitoring.canary_voice", "api.monitoring.canary_voice", text()),
    # --- logging
    Key(
        "logging.level",
        "logging.level",
        choice(*LEVELS, upper=True),
        short=("MEGATTS3_LOG_LEVEL",),
        bare=("LOG_LEVEL",),
    ),
    Key("logging.format", "logging.format", text()),
    Key("logging.file", "logging.file", optional_path()),
    Key("logging.max_size", "logging.max_bytes", BYTES),
    Key("logging.backup_count", "logging.backup_count", integer(0, 1000)),
    Key("logging.json", "logging.json", boolean()),
    # --- tracing
    Key("tracing.endpoint", "tracing.endpoint", optional_url()),
    Key("tracing.sample_ratio", "tracing.sample_ratio", number(0, 1)),
    # --- storage
    Key("storage.dir", "storage.dir", path()),
    Key("storage.voice_samples_dir", "storage.voices_dir", path(), bare=("VOICE_STORAGE_DIR",)),
    Key("storage.cache_dir", "storage.cache_dir", path(), bare=("MODEL_CACHE_DIR",)),
    Key("storage.temp_dir", "storage.temp_dir", path()),
    Key("storage.jobs_dir", "storage.jobs_dir", path()),
    Key("storage.voice_profiles_dir", "storage.profiles_dir", optional_path()),
    Key("storage.backend", "storage.backend", choice("files", "s3")),
    Key("storage.s3.bucket", "storage.s3.bucket", text()),
    Key("storage.s3.prefix", "storage.s3.prefix", text()),
    Key("storage.s3.endpoint", "storage.s3.endpoint", text()),
    Key("storage.s3.region", "storage.s3.region", text()),
    Key("storage.s3.timeout_s", "storage.s3.timeout_s", SECONDS),
    Key("storage.min_free", "storage.min_free_bytes", size(0, 2**50)),
    Key("storage.max_size", "storage.max_bytes", BYTES),
    Key("storage.max_voice_file_size", "storage.max_voice_bytes", BYTES),
    Key("storage.max_latent_file_size", "storage.max_latent_bytes", BYTES),
    Key("storage.supported_formats", "storage.supported_formats", names()),
    # --- model
    Key("model.name", "model.name", text()),
    Key("model.type", "model.type", text()),
    Key("model.version", "model.version", text()),
    Key("model.checkpoint_path", "model.checkpoint_path", path()),
    Key("model.checkpoints_dir", "model.checkpoints_dir", optional_path(), short=("MEGATTS3_MODEL_DIR",)),
    Key("model.config_path", "model.config_path", optional_path()),
    Key("model.vocoder.type", "model.vocoder_type", text()),
    Key("model.vocoder.checkpoint_path", "model.vocoder_checkpoint_path", optional_path()),
    Key("model.inference.device", "model.device", text(pattern=DEVICES), short=("MEGATTS3_DEVICE",)),
    Key(
        "model.inference.precision",
        "model.precision",
        choice("auto", "fp32", "fp16", "bf16"),
        short=("MEGATTS3_PRECISION",),
    ),
    Key(
        "model.inference.pronunciation",
        "model.pronunciation",
        choice("auto", "network", "dictionary"),
        short=("MEGATTS3_PRONUNCIATION",),
    ),
    Key(
        "model.inference.threads",
        "model.threads",
        integer(1, 1024),
        short=("MEGATTS3_TORCH_THREADS",),
        bare=("TORCH_THREADS",),
    ),
    Key("model.inference.batch_size", "model.batch_size", integer(1, 1024)),
    Key("inference_config.batch_size", "model.batch_size", integer(1, 1024), short=("MEGATTS3_BATCH_SIZE",)),
    Key("inference_config.max_sequence_length", "model.max_sequence_length", integer(16, 100_000)),
    Key("inference_config.use_cache", "model.use_cache", boolean()),
    Key("gpu_config.memory_fraction", "model.gpu_memory_fraction", number(0.01, 1.0)),
    Key("gpu_config.allow_growth", "model.gpu_allow_growth", boolean()),
    Key("gpu_config.mixed_precision", "model.mixed_precision", boolean()),
    # --- cache
    Key("model.cache.enabled", "cache.enabled", boolean()),
    Key("model.cache.max_size", "cache.max_bytes", BYTES),
    Key("model.cache.ttl", "cache.ttl_s", integer(1, 10**9)),
    Key("model.cache.segment_max_size", "cache.segment_max_bytes", BYTES),
    Key("model.cache.segment_ttl", "cache.segment_ttl_s", integer(1, 10**9)),
    Key("cache_config.enabled", "cache.enabled", boolean()),
    Key("cache_config.redis_url", "cache.redis_url", redis_url(), short=("MEGATTS3_CACHE_REDIS_URL",)),
    Key("cache_config.ttl", "cache.ttl_s", integer(1, 10**9)),
    Key("cache_config.max_memory", "cache.max_bytes", BYTES),
    Key("cache_config.compression", "cache.compression", boolean()),
    Key("cache_config.key_prefix", "redis.prefix", prefix()),
    # --- redis
    Key("redis.url", "redis.url", redis_url(), bare=("REDIS_URL",)),
    Key("redis.key_prefix", "redis.prefix", prefix()),
    Key("redis.fsync", "redis.fsync", choice("always", "everysec")),
    Key("redis.timeout_s", "redis.timeout_s", SECONDS),
    Key("redis.connect_timeout_s", "redis.connect_timeout_s", SECONDS),
    # --- jobs
    Key("jobs.keep_s", "jobs.keep_s", integer(1, 10**9)),
    Key("jobs.chunks_keep_s", "jobs.chunks_keep_s", integer(1, 10**9)),
    Key("jobs.idempotency_keep_s", "jobs.idempotency_keep_s", integer(1, 10**9)),
    Key("jobs.lease_s", "jobs.lease_s", SECONDS),
    Key("jobs.heartbeat_s", "jobs.heartbeat_s", SECONDS),
    Key("jobs.sweep_s", "jobs.sweep_s", SECONDS),
    Key("jobs.resend_after_s", "jobs.resend_after_s", SECONDS),
    Key("jobs.worker_ttl_s", "jobs.worker_ttl_s", SECONDS),
    Key("jobs.max_attempts", "jobs.max_attempts", integer(1, 100)),
    Key("jobs.concurrency", "jobs.concurrency", integer(1, 1024)),
    Key("jobs.max_queued_jobs", "jobs.max_queued_jobs", integer(1, 10**7)),
    Key("jobs.max_queued_audio_s", "jobs.max_queued_audio_s", number(1, 1e9)),
    # --- webhooks
    Key("webhooks.secret", "webhooks.secret", webhook_secret(), short=("MEGATTS3_WEBHOOK_SECRET",), secret=True),
    Key("webhooks.allow_private", "webhooks.allow_private", boolean()),
    Key("webhooks.timeout_s", "webhooks.timeout_s", number(0.05, 20)),
    # --- worker
    Key("worker.stuck_after_s", "worker.stuck_after_s", number(1, 86_400)),
    Key("worker.max_memory", "worker.max_memory_bytes", BYTES),
    # --- limits
    Key("model.inference.max_length", "limits.max_text", integer(1, 10**6), short=("MEGATTS3_MAX_LENGTH",)),
    Key("limits.max_text_openai", "limits.max_text_openai", integer(1, 10**6)),
    Key("limits.max_job_text", "limits.max_job_text", integer(1, 10**8)),
    Key("limits.max_items", "limits.max_items", integer(1, 10**5)),
)

# Fields that move with `storage.dir`, and their folders below it.
STORAGE_FOLDERS = {
    "storage.voices_dir": "voices",
    "storage.cache_dir": "cache",
    "storage.temp_dir": "temp",
    "storage.jobs_dir": "jobs",
}
LOG_DIR = "MEGATTS3_LOG_DIR"
API_CONFIG = "MEGATTS3_API_CONFIG"
MODEL_CONFIG = "MEGATTS3_MODEL_CONFIG"
OTHER_VARIABLES = (LOG_DIR, API_CONFIG, MODEL_CONFIG)
