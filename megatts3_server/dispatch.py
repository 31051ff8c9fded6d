"""How work reaches the worker: a message with an id, and nothing else."""

from typing import Protocol

from contract.schemas import Job, Voice


class Dispatch(Protocol):
    """Raises ServiceError(STORE_UNAVAILABLE) when the message could not be sent."""

    def synthesize(self, job: Job) -> None: ...

    def plan(self, job: Job) -> None: ...

    def prepare_voice(self, voice: Voice) -> None: ...
