"""The worker process's entry point: `celery -A worker.app worker --pool threads …` imports this module.

Like megatts3_server/wsgi.py it is where a process begins, hence the one place of the worker that reads the
settings when imported.  The model is loaded on `worker_init`, before the first message is taken.
"""

from typing import Any

from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down

from contract.queues import QueueName, TaskName, make_celery, send
from contract.settings import load_settings
from contract.stores.opening import open_stores
from contract.telemetry import configure_logging, event_log
from megatts3.errors import MegaTTS3Error
from worker import tasks
from worker.devices import DeviceUnavailable
from worker.runtime import load_runtime, runtime, set_runtime
from worker.shipped_voices import ShippedVoicesError

log = event_log(__name__)

EX_CONFIG = 78  # <sysexits.h>: starting again will not help until somebody changes something

settings = load_settings()
app = make_celery(settings)
tasks.register(app)


def keep_our_logging(**_: Any) -> None:  # Any: Celery's signals pass what they like
    """Somebody listening to this signal is what tells Celery to leave the log format alone."""


def load(sender: Any, **_: Any) -> None:  # Any: Celery's worker, untyped
    """Load the model, speak a warm-up, register the shipped voices; only then are messages taken.

    Celery swallows an Exception of a signal's receiver and would serve without a model: hence SystemExit.
    """
    configure_logging(settings.logging)  # before Celery would: the model is loaded first

    def send_message(task: TaskName, identifier: str, queue: QueueName, request_id: str | None) -> None:
        send(app, task, identifier, queue=queue, request_id=request_id)

    try:
        built = load_runtime(settings, open_stores(settings), name=str(sender.hostname), send=send_message)
        set_runtime(built)
        built.start()
        built.become_ready(settings.model.locate())
    except (MegaTTS3Error, ShippedVoicesError, DeviceUnavailable) as error:
        log.error("worker_cannot_start", reason=error)  # noqa: TRY400 - its text says all, for a person
        raise SystemExit(EX_CONFIG) from error
    except Exception as error:  # whatever it is, a worker without a model must not go on
        log.exception("worker_cannot_start")
        raise SystemExit(1) from error


def drain(**_: Any) -> None:
    """SIGTERM has come: running jobs get a bound."""
    runtime().begin_drain()


def stop(**_: Any) -> None:
    """The last task has ended."""
    runtime().stop()
    set_runtime(None)


setup_logging.connect(keep_our_logging)
worker_init.connect(load)
worker_shutting_down.connect(drain)
worker_shutdown.connect(stop)
