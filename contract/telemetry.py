"""What processes tell: log events with fields, the request id on its way through the queue, metric names.

Events are constants (`log.info("job_claimed", job=…)`), never sentences, and never the user's text.  How a
line looks is log_format.py; where it goes is log_files.py.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from enum import StrEnum, unique

from contract.log_files import SharedRotatingFile
from contract.log_format import JsonFormatter, TextFormatter
from contract.settings import LoggingSettings

REQUEST_ID_HEADER = "megatts3_request_id"  # in a task's headers
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_request_id: ContextVar[str | None] = ContextVar("megatts3_request_id", default=None)


@unique
class Metric(StrEnum):
    """Names of metrics: base units, one prefix.  The first six are those the operators' notes name."""

    SYNTHESIS_LATENCY = "megatts3_synthesis_latency_seconds"
    THROUGHPUT = "megatts3_throughput_requests_total"
    GPU_UTILIZATION = "megatts3_gpu_utilization_ratio"
    MEMORY_USAGE = "megatts3_memory_usage_bytes"
    CACHE_HIT_RATIO = "megatts3_cache_hit_ratio"
    ERROR_RATE = "megatts3_error_rate_errors_total"
    QUEUE_JOBS = "megatts3_queue_jobs"
    QUEUE_AUDIO = "megatts3_queue_audio_seconds"
    QUEUE_AGE = "megatts3_queue_age_seconds"
    TIME_TO_FIRST_AUDIO = "megatts3_time_to_first_audio_seconds"
    RTF = "megatts3_rtf_ratio"
    BATCH_ROWS = "megatts3_batch_rows"
    PADDING_WASTE = "megatts3_padding_waste_ratio"
    STEPS = "megatts3_solver_steps_total"
    CACHE_BYTES = "megatts3_cache_bytes"
    REQUESTS = "megatts3_request_seconds"
    QUEUE_WAIT = "megatts3_queue_wait_seconds"
    STAGE = "megatts3_stage_seconds"
    JOBS = "megatts3_jobs_total"
    AUDIO = "megatts3_audio_seconds_total"
    ROW_STEPS = "megatts3_row_steps_total"
    USEFUL_FRAMES = "megatts3_useful_frames_total"
    PADDED_FRAMES = "megatts3_padded_frames_total"
    ENGINE_SECONDS = "megatts3_engine_seconds_total"
    CACHE_HITS = "megatts3_cache_hits_total"
    CACHE_MISSES = "megatts3_cache_misses_total"
    CACHE_EVICTIONS = "megatts3_cache_evictions_total"
    WORKERS = "megatts3_workers"
    READY = "megatts3_ready"
    STORE_UP = "megatts3_store_up"
    WORKER_SPEED = "megatts3_worker_audio_seconds_per_second"
    ACTIVE_JOBS = "megatts3_worker_active_jobs"
    CANARY_OK = "megatts3_canary_ok"
    CANARY_RUNS = "megatts3_canary_runs_total"
    CANARY_LATENCY = "megatts3_canary_latency_seconds"
    CANARY_AT = "megatts3_canary_timestamp_seconds"
    CANARY_CHECK = "megatts3_canary_check"


class EventLog:
    """A logger of events with fields.  Values are short facts: ids, counts, seconds, codes."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: object) -> None:
        self._tell(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._tell(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """An error with the traceback of the exception being handled."""
        self._tell(logging.ERROR, event, fields, exc_info=True)

    def synthesis_time(self, seconds: float, **fields: object) -> None:
        """`… [INFO] 1.234 synthesis_time job=…`: the one line that operators sum up with awk."""
        self._tell(logging.INFO, "synthesis_time", fields, lead=f"{seconds:.3f}")

    def _tell(
        self,
        level: int,
        event: str,
        fields: Mapping[str, object],
        *,
        lead: str | None = None,
        exc_info: bool = False,
    ) -> None:
        if self._logger.isEnabledFor(level):
            request_id = current_request_id()
            told = dict(fields)
            if request_id is not None:
                told.setdefault("request_id", request_id)
            extra = {"event_fields": told, "event_lead": lead}
            self._logger.log(level, event, extra=extra, exc_info=exc_info, stacklevel=3)


def event_log(name: str) -> EventLog:
    """One per module, named as it is."""
    return EventLog(name)


def configure_logging(settings: LoggingSettings, *, stderr: bool = True) -> None:
    """Send this process's log to the shared file and standard error, in place of what was set before."""
    formatter = JsonFormatter() if settings.json else TextFormatter(settings.format)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if stderr else []
    problem: OSError | None = None
    if settings.file is not None:
        try:
            handlers.append(SharedRotatingFile(settings.file, settings.max_bytes, backup_count=settings.backup_count))
        except OSError as error:
            problem = error
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(settings.level)
    logging.captureWarnings(True)
    if problem is not None:
        event_log(__name__).warning("log_file_unavailable", file=settings.file, reason=problem.strerror)


def new_request_id() -> str:
    return secrets.token_hex(8)


def accepted_request_id(given: str | None) -> str:
    """A client's own id when it is short and plain, else a new one."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_request_id()


def current_request_id() -> str | None:
    return _request_id.get()


@contextlib.contextmanager
def bound_request_id(request_id: str | None) -> Iterator[None]:
    """Every event told inside carries this request id."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def request_headers(request_id: str | None) -> dict[str, str]:
    """Headers of a task message."""
    return {} if request_id is None else {REQUEST_ID_HEADER: request_id}


def request_id_of(task_request: object) -> str | None:
    """The request id of a Celery task's `self.request`; headers become its attributes."""
    found = getattr(task_request, REQUEST_ID_HEADER, None)
    if found is None:
        found = (getattr(task_request, "headers", None) or {}).get(REQUEST_ID_HEADER)
    return found if isinstance(found, str) else None
