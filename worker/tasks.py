"""The Celery tasks: each hands its id to the runtime.  No results: the records are the only state."""

from collections.abc import Callable

from celery import Celery, Task

from contract.queues import TaskName
from contract.telemetry import bound_request_id, request_id_of
from contract.tracing import traceparent_of
from worker.runtime import runtime


def synthesize(task: Task, job_id: str) -> None:
    """Speak one job.  A second delivery of the same job does nothing."""
    with bound_request_id(request_id_of(task.request)):
        runtime().synthesize(job_id, parent=traceparent_of(task.request))


def plan(task: Task, plan_id: str) -> None:
    """Say what a text would be spoken as.  A second delivery answers the same."""
    with bound_request_id(request_id_of(task.request)):
        runtime().plan(plan_id, parent=traceparent_of(task.request))


def prepare_voice(task: Task, voice_id: str) -> None:
    """Bring one voice from `preparing` to `ready` or `failed`.  A second delivery finds it done."""
    with bound_request_id(request_id_of(task.request)):
        runtime().prepare_voice(voice_id, parent=traceparent_of(task.request))


def sweep(_task: Task) -> None:
    """Bring back what dead workers left.  Every worker does so by itself, too."""
    runtime().sweep()


TASKS: dict[TaskName, Callable[..., None]] = {
    TaskName.SYNTHESIZE: synthesize,
    TaskName.PLAN: plan,
    TaskName.PREPARE_VOICE: prepare_voice,
    TaskName.SWEEP: sweep,
}


def register(app: Celery) -> None:
    """Make `app` able to run them."""
    for name, function in TASKS.items():
        app.task(function, name=name.value, bind=True, ignore_result=True)
