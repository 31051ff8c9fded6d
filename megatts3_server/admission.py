"""May more work come in?  Seconds of speech decide, not requests: one book is not one sentence."""

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Priority
from contract.settings import JobSettings
from contract.stores.jobs import QueueDepth
from megatts3_server.workers_view import Snapshot

_RETRY_MIN_S, _RETRY_MAX_S = 1.0, 600.0


def admit(
    snapshot: Snapshot,
    depth: QueueDepth,
    settings: JobSettings,
    *,
    estimate_s: float,
    priority: Priority,
) -> None:
    """Raises NOT_READY without a ready worker, QUEUE_FULL with Retry-After from the measured throughput.

    depth: of the queues now, this job in it;  estimate_s: its expected seconds of audio.
    Batch work only has to fit by number: it waits behind the rest.  A job alone in the queue may be long.
    """
    require_ready(snapshot)
    waiting_s = depth.queued_interactive_audio_s
    excess_s = waiting_s - settings.max_queued_audio_s
    is_alone = waiting_s <= estimate_s
    too_long = priority is Priority.INTERACTIVE and excess_s > 0 and not is_alone
    if too_long or depth.queued_jobs > settings.max_queued_jobs:
        wait_s = max(excess_s, estimate_s) / snapshot.audio_s_per_s
        raise ServiceError(ErrorCode.QUEUE_FULL, retry_after_s=min(max(wait_s, _RETRY_MIN_S), _RETRY_MAX_S))


def require_ready(snapshot: Snapshot) -> None:
    """Raises when nobody could do the work: no worker that is ready or just being replaced, or nobody knows of one."""
    if snapshot.problem is not None:
        raise ServiceError(snapshot.problem)
    if not snapshot.able:
        raise ServiceError(ErrorCode.NOT_READY)
