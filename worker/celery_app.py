"""The worker's Celery app: its tasks, and what happens when the process starts, drains and ends.

How the engine is had is handed in, so that a test of whole processes may bring one of its own.
"""

import gc
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from redis.exceptions import ResponseError

from contract.errors import ErrorCode, ServiceError
from contract.queues import QueueName, TaskName, make_celery, send
from contract.settings import Settings
from contract.stores.opening import open_stores
from contract.telemetry import configure_logging, event_log
from megatts3.errors import MegaTTS3Error
from worker import tasks
from worker.devices import DeviceUnavailable
from worker.runtime import Runtime, load_runtime, runtime, set_runtime
from worker.scratch import FULL_DISK_S
from worker.shipped_voices import ShippedVoicesError

log = event_log(__name__)

EX_CONFIG = 78  # <sysexits.h>: starting again will not help until somebody changes something
STORE_AWAY_PAUSE_S = 1.0  # between tries while Redis is not there yet: processes may start in any order


def serve(settings: Settings, *, load: Callable[..., Runtime] = load_runtime) -> Celery:
    """The app, its signals connected.  Once a process: Celery's signals are global."""
    app = make_celery(settings)
    tasks.register(app)

    def send_message(task: TaskName, identifier: str, queue: QueueName, request_id: str | None) -> None:
        send(app, task, identifier, queue=queue, request_id=request_id)

    def begin(sender: Any, **_: Any) -> None:  # Any: Celery's worker, untyped
        """Load the model, speak a warm-up, register the shipped voices; only then are messages taken.

        Celery swallows an Exception of a signal's receiver and would serve without a model: hence SystemExit.
        """
        configure_logging(settings.logging)  # before Celery would: the model is loaded first
        try:
            built = load(
                settings, open_stores(settings, patience_s=FULL_DISK_S), name=str(sender.hostname), send=send_message
            )
            set_runtime(built)
            built.start()
            _become_ready(built, settings)
            gc.collect()
            gc.freeze()  # what is there now stays: looking through it holds every thread up for 0.2 s each time
        except (MegaTTS3Error, ShippedVoicesError, DeviceUnavailable) as error:
            log.error("worker_cannot_start", reason=error)  # noqa: TRY400 - its text says all, for a person
            raise SystemExit(EX_CONFIG) from error
        except ResponseError as error:  # Redis is there and refuses a command: an old one, or one that may not be used
            log.error("worker_cannot_start", reason=f"Redis refuses what is needed: {error}")  # noqa: TRY400 - as above
            raise SystemExit(EX_CONFIG) from error
        except Exception as error:  # whatever it is, a worker without a model must not go on
            log.exception("worker_cannot_start")
            raise SystemExit(1) from error

    setup_logging.connect(keep_our_logging, weak=False)
    worker_init.connect(begin, weak=False)
    worker_shutting_down.connect(drain, weak=False)
    worker_shutdown.connect(stop, weak=False)
    return app


def _become_ready(built: Runtime, settings: Settings) -> None:
    """Ready as soon as Redis is there, which may be later than we are."""
    pause = threading.Event()
    while True:
        try:
            built.become_ready(settings.model.locate())
        except ServiceError as error:
            if error.code is not ErrorCode.STORE_UNAVAILABLE:
                raise
            log.warning("store_not_there_yet", code=error.code)
            pause.wait(STORE_AWAY_PAUSE_S)
        else:
            return


def keep_our_logging(**_: Any) -> None:  # Any: Celery's signals pass what they like
    """Somebody listening to this signal is what tells Celery to leave the log format alone."""


def drain(**_: Any) -> None:
    """SIGTERM has come: running jobs get a bound."""
    runtime().begin_drain()


def stop(**_: Any) -> None:
    """The last task has ended."""
    runtime().stop()
    set_runtime(None)
