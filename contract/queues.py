"""Celery between API and worker: names, the app, and the one way to send.

A message carries an id and nothing else.  Acknowledged on receipt: the job record's lease, not the broker,
brings back what a dead worker left (late acks on the thread pool do not survive a Redis restart).
"""

from __future__ import annotations

from enum import StrEnum, unique
from urllib.parse import urlsplit, urlunsplit

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Priority
from contract.settings import Settings
from contract.telemetry import request_headers
from contract.tracing import trace_headers

CELERY_DATABASE = 1  # Redis database of Celery's own keys when the URL names none


@unique
class QueueName(StrEnum):
    """A worker takes from the first that has something."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


@unique
class TaskName(StrEnum):
    SYNTHESIZE = "megatts3.synthesize"  # (job_id)
    PREPARE_VOICE = "megatts3.prepare_voice"  # (voice_id)
    PLAN = "megatts3.plan"  # (plan_id)
    SWEEP = "megatts3.sweep"  # ()


QUEUE_OF_PRIORITY = {Priority.INTERACTIVE: QueueName.INTERACTIVE, Priority.BATCH: QueueName.BATCH}


def broker_url(redis_url: str) -> str:
    """The URL with a database: as given, else CELERY_DATABASE, so that our keys and Celery's do not mix."""
    parts = urlsplit(redis_url)
    if parts.scheme not in {"redis", "rediss"} or parts.path.strip("/"):
        return redis_url
    return urlunsplit(parts._replace(path=f"/{CELERY_DATABASE}"))


def make_celery(settings: Settings) -> Celery:
    """A Celery app for either side; connects to nothing."""
    app = Celery("megatts3", broker=broker_url(settings.redis.url), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # messages wait in Redis for a free thread: a killed worker takes none along
        task_queues=[Queue(name.value) for name in QueueName],  # type: ignore[no-untyped-call] # so it is in kombu
        task_default_queue=QueueName.INTERACTIVE.value,
        task_create_missing_queues=False,
        worker_enable_remote_control=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=settings.redis.connect_timeout_s,
        broker_transport_options={
            "global_keyprefix": f"{settings.redis.prefix}:celery:",
            # A message that is taken is gone: the job's lease and the sweep bring back what its taker lost, and the
            # copies that kombu keeps until an acknowledgement would cost each message two more writes.
            "ack_emulation": False,
            "queue_order_strategy": "priority",
            "socket_connect_timeout": settings.redis.connect_timeout_s,
            "socket_timeout": settings.redis.timeout_s,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "retry_on_timeout": True,
        },
        task_publish_retry=True,
        task_publish_retry_policy={
            "max_retries": 2,
            "interval_start": 0.1,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
    )
    return app


def send(
    app: Celery,
    task: TaskName,
    *ids: str,
    queue: QueueName = QueueName.INTERACTIVE,
    request_id: str | None = None,
) -> None:
    """Send one message.  ServiceError(STORE_UNAVAILABLE) when the broker is away; the record stays queued."""
    try:
        app.send_task(
            task.value,
            args=list(ids),
            queue=queue.value,
            headers=request_headers(request_id) | trace_headers(),
            ignore_result=True,
        )
    except OperationalError as error:
        raise ServiceError(ErrorCode.STORE_UNAVAILABLE, retry_after_s=5) from error
