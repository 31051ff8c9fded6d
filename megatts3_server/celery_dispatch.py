"""Work sent with Celery.  Imported when a process really sends: Celery is a quarter of the API's start."""

from contract.queues import QUEUE_OF_PRIORITY, TaskName, make_celery, send
from contract.schemas import Job, Voice
from contract.settings import Settings


class CeleryDispatch:
    """See dispatch.Dispatch."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_celery(settings)

    def synthesize(self, job: Job) -> None:
        queue = QUEUE_OF_PRIORITY[job.priority]
        send(self._app, TaskName.SYNTHESIZE, job.id, queue=queue, request_id=job.request_id)

    def plan(self, job: Job) -> None:
        send(self._app, TaskName.PLAN, job.id, request_id=job.request_id)

    def prepare_voice(self, voice: Voice) -> None:
        send(self._app, TaskName.PREPARE_VOICE, voice.id, request_id=voice.request_id)
