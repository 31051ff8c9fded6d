"""Can the workers write, or read, this audio format?  They say themselves, so a request is refused before it waits.

Several workers may differ, and any of them may get the job: what counts is what all that are ready can do.
"""

from collections.abc import Callable

from contract.errors import ErrorCode, FieldError, FieldProblem, ServiceError
from contract.messages import field_error
from contract.schemas import AudioFormat, WorkerState
from megatts3_server.workers_view import Snapshot


def require_writable(audio_format: AudioFormat, snapshot: Snapshot) -> None:
    """Raises UNSUPPORTED_FORMAT naming the formats that can be had."""
    can = _all_can(snapshot, lambda worker: worker.writes)
    if can is not None and audio_format.value not in can:
        limit = ", ".join(can)
        errors = (field_error("response_format", FieldProblem.NOT_A_CHOICE, limit),)
        raise ServiceError(ErrorCode.UNSUPPORTED_FORMAT, errors=errors)


def require_readable(audio_format: str, snapshot: Snapshot, *, field: str) -> None:
    """Raises UNSUPPORTED_FORMAT for a clip that is audio, but of a kind no worker can decode."""
    can = _all_can(snapshot, lambda worker: worker.reads)
    if can is not None and audio_format not in can:
        limit = ", ".join(can)
        error = FieldError(field, f"{field} is {audio_format}, which cannot be read here; send one of {limit}", limit)
        raise ServiceError(ErrorCode.UNSUPPORTED_FORMAT, errors=(error,))


def writable(snapshot: Snapshot) -> tuple[str, ...]:
    """Formats of the answer that can be had now, all there are while nobody says."""
    can = _all_can(snapshot, lambda worker: worker.writes)
    return tuple(each.value for each in AudioFormat if can is None or each.value in can)


def _all_can(snapshot: Snapshot, ability: Callable[[WorkerState], tuple[str, ...]]) -> tuple[str, ...] | None:
    """What every able worker names, in the first one's order; None where no worker says anything."""
    told = [ability(worker) for worker in snapshot.able if ability(worker)]
    if not told:
        return None
    return tuple(name for name in told[0] if all(name in names for names in told))
