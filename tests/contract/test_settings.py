"""Settings: the operators' own files as they stand, precedence, ranges, unknown names."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from contract.errors import SettingsError
from contract.setting_keys import KEYS, OTHER_VARIABLES
from contract.setting_reference import reference
from contract.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]

GIVEN_MODEL_CONFIG = """
model:
  name: "MegaTTS3-DIT"
  type: "diffusion_transformer"
  version: "1.0.0"
  
  # 模型路径
  checkpoint_path: "/app/checkpoints/dit_base/model.pt"
  config_path: "/app/checkpoints/dit_base/config.yaml"
  
  # 推理参数
  inference:
    device: "cuda:0"           # 使用的设备
    precision: "fp16"          # 推理精度
    batch_size: 1              # 批处理大小
    max_length: 1000           # 最大文本长度
    
  # 声码器配置
  vocoder:
    type: "WaveVAE"
    checkpoint_path: "/app/checkpoints/wavevae/model.pt"
    
  # 缓存配置
  cache:
    enabled: true
    max_size: "2GB"
    ttl: 3600                  # 缓存过期时间（秒）
"""  # noqa: W293 - as operators have it
GIVEN_API_CONFIG = """
api:
  host: "0.0.0.0"
  port: 9000
  workers: 2
  timeout: 300
  max_request_size: "100MB"
  
  # 跨域配置
  cors:
    enabled: true
    origins: ["*"]
    methods: ["GET", "POST"]
    headers: ["*"]
  
  # 限流配置
  rate_limit:
    enabled: true
    requests_per_minute: 30
    burst_size: 10
  
  # 监控配置
  monitoring:
    enabled: true
    metrics_port: 9090
    health_check_interval: 30

# 日志配置
logging:
  level: "INFO"
  format: "%(asctime)s [%(levelname)s] %(message)s"
  file: "/app/logs/megatts3.log"
  max_size: "100MB"
  backup_count: 5
  
# 存储配置
storage:
  voice_samples_dir: "/app/storage/voices"
  cache_dir: "/app/storage/cache"
  temp_dir: "/app/storage/temp"
  max_voice_file_size: "50MB"
  supported_formats: ["wav", "mp3", "flac", "m4a"]
"""  # noqa: W293 - as operators have it
GIVEN_TUNING = """
gpu_config:
  memory_fraction: 0.8          # 限制GPU内存使用
  allow_growth: true            # 动态分配内存
  mixed_precision: true         # 启用混合精度训练
  
# 批处理优化
inference_config:
  batch_size: 4                 # 增加批处理大小
  max_sequence_length: 512      # 限制序列长度
  use_cache: true               # 启用推理缓存
cache_config:
    redis_url: "redis://localhost:6379"
    ttl: 1800                 # 缓存1小时
    max_memory: "1GB"         # 最大缓存内存
    compression: True         # 启用压缩
    key_prefix: "megatts3:"    # 键前缀
"""  # noqa: W293 - as operators have it


@pytest.fixture
def load(tmp_path):
    def load(api="", model="", **environ):
        api_config, model_config = tmp_path / "api.yaml", tmp_path / "model.yaml"
        api_config.write_text(api, encoding="utf-8")
        model_config.write_text(model, encoding="utf-8")
        return load_settings(api_config=api_config, model_config=model_config, environ=environ)

    return load


def test_the_operators_files_load_as_they_stand(load):
    settings = load(GIVEN_API_CONFIG, GIVEN_MODEL_CONFIG)
    assert settings.warnings == ()
    assert (settings.api.port, settings.api.workers, settings.api.timeout_s) == (9000, 2, 300)
    assert settings.api.max_request_bytes == 100_000_000
    assert settings.api.rate_limit.burst_size == 10
    assert settings.storage.voices_dir == Path("/app/storage/voices")
    assert settings.storage.dir == Path("/app/storage")
    assert settings.storage.jobs_dir == Path("/app/storage/jobs")
    assert settings.storage.supported_formats == ("wav", "mp3", "flac", "m4a")
    assert settings.logging.file == Path("/app/logs/megatts3.log")
    assert (settings.model.device, settings.model.precision, settings.model.batch_size) == ("cuda:0", "fp16", 1)
    assert settings.cache.max_bytes == 2_000_000_000
    assert settings.limits.max_text == 1000
    assert settings.model.candidates()[0] == Path("/app/checkpoints")
    assert not settings.redis.is_given


def test_the_tuning_blocks_win_over_the_model_block(load):
    settings = load(GIVEN_API_CONFIG, GIVEN_MODEL_CONFIG + GIVEN_TUNING)
    assert settings.warnings == ()
    assert settings.model.batch_size == 4
    assert settings.model.max_sequence_length == 512
    assert settings.model.gpu_memory_fraction == 0.8
    assert (settings.cache.ttl_s, settings.cache.max_bytes) == (1800, 1_000_000_000)
    assert settings.redis.prefix == "megatts3"
    assert settings.redis.url == "redis://localhost:6379"
    assert settings.redis.is_given


def test_the_shipped_files_load_without_a_warning_and_fit_a_fresh_clone():
    configs = ROOT / "configs"
    settings = load_settings(
        api_config=configs / "api_config.yaml", model_config=configs / "model_config.yaml", environ={}
    )
    assert settings.warnings == ()
    assert settings.model.candidates()[0] == Path("checkpoints/mini")
    assert settings.model.device == "auto"
    assert settings.storage.dir == Path("storage")
    assert settings.logging.file == Path("logs/megatts3.log")
    assert dataclasses.replace(settings, origins={}) == Settings(), "the files repeat the defaults"


def test_without_files_and_variables_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}) == Settings()


def test_megatts3_wins_over_bare_over_yaml_over_default(load):
    yaml = "api: {port: 9001, workers: 3}"
    assert load().api.port == 9000
    assert load(yaml).api.port == 9001
    assert load(yaml, API_PORT="9002").api.port == 9002
    assert load(yaml, API_PORT="9002", MEGATTS3_PORT="9003").api.port == 9003
    assert load(yaml, WORKERS="5").api.workers == 5
    assert load(yaml, MEGATTS3_PORT=" ").api.port == 9001, "an empty variable is no variable"


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("API_HOST", "127.0.0.1", "api.host", "127.0.0.1"),
        ("MODEL_CACHE_DIR", "/a/cache", "storage.cache_dir", Path("/a/cache")),
        ("VOICE_STORAGE_DIR", "/a/voices", "storage.voices_dir", Path("/a/voices")),
        ("LOG_LEVEL", "debug", "logging.level", "DEBUG"),
        ("TORCH_THREADS", "4", "model.threads", 4),
        ("REDIS_URL", "redis://r:6380/2", "redis.url", "redis://r:6380/2"),
        ("MEGATTS3_BATCH_SIZE", "1", "model.batch_size", 1),
        ("MEGATTS3_TIMEOUT", "600", "api.timeout_s", 600),
        ("MEGATTS3_METRICS_PORT", "0", "api.monitoring.metrics_port", 0),
        ("MEGATTS3_RATE_LIMIT_ENABLED", "false", "api.rate_limit.enabled", False),
        ("MEGATTS3_CORS_ORIGINS", "https://a, https://b", "api.cors.origins", ("https://a", "https://b")),
        ("MEGATTS3_CORS_ORIGINS", '["https://a"]', "api.cors.origins", ("https://a",)),
        ("MEGATTS3_DEVICE", "cuda:1", "model.device", "cuda:1"),
        ("MEGATTS3_MAX_REQUEST_SIZE", "1.5 GiB", "api.max_request_bytes", 1_610_612_736),
        ("MEGATTS3_RATE_LIMIT_OVERRIDES", '{"10.0.0.0/8": 600}', "api.rate_limit.overrides", {"10.0.0.0/8": 600}),
        ("MEGATTS3_LOGGING_FILE", "none", "logging.file", None),
        ("MEGATTS3_API_KEYS", "a, b", "api.keys", ("a", "b")),
    ],
)
def test_a_variable_reaches_its_field(load, variable, value, field, expected):
    found = load(GIVEN_API_CONFIG, GIVEN_MODEL_CONFIG, **{variable: value})
    assert found.warnings == ()
    for name in field.split("."):
        found = getattr(found, name)
    assert found == expected


def test_the_directory_variables_move_everything_below_them(load):
    settings = load(
        GIVEN_API_CONFIG,
        GIVEN_MODEL_CONFIG,
        MEGATTS3_STORAGE_DIR="/data",
        MEGATTS3_LOG_DIR="/var/log/tts",
        MEGATTS3_MODEL_DIR="/models",
        MEGATTS3_STORAGE_TEMP_DIR="/fast",
    )
    assert settings.storage.voices_dir == Path("/data/voices")
    assert settings.storage.jobs_dir == Path("/data/jobs")
    assert settings.storage.temp_dir == Path("/fast")
    assert settings.logging.file == Path("/var/log/tts/megatts3.log")
    assert Path("/models") in settings.model.candidates()
    assert settings.warnings == ()


def test_a_checkpoint_is_found_where_networks_are(tmp_path, load):
    (tmp_path / "models" / "mini" / "diffusion_transformer").mkdir(parents=True)
    settings = load("", GIVEN_MODEL_CONFIG, MEGATTS3_MODEL_DIR=str(tmp_path / "models"))
    assert settings.model.locate() == tmp_path / "models" / "mini"
    (tmp_path / "models" / "dit_base").mkdir()
    assert settings.model.locate() == tmp_path / "models"


@pytest.mark.parametrize(
    ("yaml", "named"),
    [
        ("api: {port: 70000}", ["api.yaml", "api.port", "1 and 65535"]),
        ("api: {workers: many}", ["api.workers", "not a number"]),
        ("api: {workers: 1.5}", ["api.workers", "whole"]),
        ("api: {max_request_size: lots}", ["api.max_request_size", "100MB"]),
        ("api: {cors: {enabled: perhaps}}", ["api.cors.enabled", "true nor false"]),
        ("logging: {level: LOUD}", ["logging.level", "DEBUG"]),
        ("model: {inference: {device: tpu}}", ["model.inference.device"]),
        ("redis: {url: 'localhost'}", ["redis.url", "redis://"]),
        ("api: {rate_limit: {overrides: 5}}", ["api.rate_limit.overrides"]),
        ("api: [", ["cannot be read"]),
        ("- a", ["expected keys"]),
        ("api: 9000", ["api.yaml", "api", "expected keys"]),
    ],
)
def test_a_wrong_value_is_an_error_naming_file_key_and_range(load, yaml, named):
    with pytest.raises(SettingsError) as caught:
        load(yaml)
    assert all(part in str(caught.value) for part in named)


def test_all_wrong_values_are_named_at_once(load):
    with pytest.raises(SettingsError) as caught:
        load("api: {port: 0, workers: 0}", MEGATTS3_TIMEOUT="soon")
    assert [p.key for p in caught.value.problems] == ["api.port", "api.workers", "MEGATTS3_TIMEOUT"]


def test_a_named_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(api_config=tmp_path / "no.yaml", environ={})
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(environ={"MEGATTS3_API_CONFIG": str(tmp_path / "no.yaml")})


def test_unknown_names_warn_and_name_the_nearest(load):
    settings = load("api: {prot: 9000, rate_limits: {enabled: true}}", MEGATTS3_PROT="1", MEGATTS3_ZZZ="1")
    told = {problem.key: problem.message for problem in settings.warnings}
    assert told["api.prot"].endswith("did you mean api.port?")
    assert "api.rate_limit.enabled" in told["api.rate_limits.enabled"]
    assert told["MEGATTS3_PROT"].endswith("did you mean MEGATTS3_PORT?")
    assert "did you mean" not in told["MEGATTS3_ZZZ"]


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_secrets_come_from_the_environment_only_and_are_never_shown(load):
    settings = load("api: {keys: [abc]}", MEGATTS3_WEBHOOK_SECRET=SECRET, REDIS_URL="redis://:pw@h")
    assert settings.api.keys == ()
    assert "environment only" in settings.warnings[0].message
    assert settings.webhooks.secret == SECRET
    assert SECRET not in repr(settings)
    assert "pw" not in repr(settings)


def test_settings_know_where_each_value_came_from(load):
    settings = load("api: {port: 9001}", REDIS_URL="redis://r")
    assert settings.origins["api.port"].endswith("api.yaml: api.port")
    assert settings.origins["redis.url"] == "REDIS_URL"


def fields_of(record, below=""):
    for item in dataclasses.fields(record):
        value = getattr(record, item.name)
        if dataclasses.is_dataclass(value):
            yield from fields_of(value, f"{below}{item.name}.")
        else:
            yield f"{below}{item.name}"


def test_every_field_has_a_key_and_every_key_a_field():
    computed = {"warnings", "origins", "redis.is_given"}
    assert {key.target for key in KEYS} == set(fields_of(Settings())) - computed


def test_every_variable_names_one_key():
    names = [name for key in KEYS for name in (*key.prefixed, *key.bare)] + list(OTHER_VARIABLES)
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Z0-9_]+", name) for name in names)


def test_a_file_may_be_named_by_a_variable(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("api: {port: 9009}")
    assert load_settings(environ={"MEGATTS3_API_CONFIG": str(path)}).api.port == 9009


def test_the_reference_page_names_every_key_and_variable_as_they_are():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m contract.setting_reference > docs/configuration.md"
    for variable in OTHER_VARIABLES:
        assert variable in page
