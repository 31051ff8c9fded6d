"""What the service can take on now, from the workers' own measurements; and which weights they have."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from contract.schemas import DEFAULT_SAMPLE_RATE, Priority, WorkerState
from contract.settings import JobSettings
from megatts3_server.format_check import writable
from megatts3_server.workers_view import Snapshot

Json = dict[str, Any]  # Any: what JSON holds
LANGUAGES = ("zh", "en")


def capacity(snapshot: Snapshot, settings: JobSettings, *, clock: Callable[[], float] = time.time) -> Json:
    """Rates are audio seconds per second; null where nothing was measured yet."""
    ready, depth = snapshot.ready, snapshot.depth
    measured = [worker.audio_s_per_s for worker in ready if worker.audio_s_per_s]
    audio_s_per_s = sum(measured) if measured else None
    rows, free = sum(worker.max_rows for worker in ready), sum(map(free_rows, ready))
    waiting_s = depth.queued_audio_s
    oldest_s = None if depth.oldest_queued_at is None else max(0.0, clock() - depth.oldest_queued_at)
    return {
        "ready_workers": len(ready),
        "audio_s_per_s": _rounded(audio_s_per_s),
        "rows": rows,
        "free_rows": free,
        "running_jobs": depth.running_jobs,
        "queue": {
            "jobs": depth.queued_jobs,
            "audio_s": round(waiting_s, 3),
            "interactive_audio_s": round(depth.queued_interactive_audio_s, 3),
            "running_audio_s": round(depth.running_audio_s, 3),
            "max_interactive_audio_s": settings.max_queued_audio_s,
            "oldest_s": _rounded(oldest_s),
        },
        "estimated_wait_s": None if not audio_s_per_s else round(waiting_s / audio_s_per_s, 3),
        "wait_p95_s": {p.value: _worst(ready, p) for p in Priority},
        # A row for each, and one more a worker, so that a free row never waits for the next request to arrive.
        "suggested_concurrency": rows + len(ready),
        "workers": [_worker(worker) for worker in ready],
    }


def models(snapshot: Snapshot) -> list[Json]:
    """The weights of the ready workers, each once."""
    by_weights: dict[tuple[str, str], list[WorkerState]] = {}
    for worker in snapshot.ready:
        by_weights.setdefault((worker.checkpoint, worker.revision), []).append(worker)
    return [
        {
            "id": checkpoint,
            "revision": revision,
            "encoder_available": any(w.encoder_available for w in having),
            "networks": sorted({name for w in having for name in w.capabilities}),
            "languages": list(LANGUAGES),
            "formats": list(writable(snapshot)),
            "sample_rate": DEFAULT_SAMPLE_RATE,
            "workers": len(having),
            "devices": sorted({w.device for w in having}),
            "precisions": sorted({w.precision for w in having}),
        }
        for (checkpoint, revision), having in sorted(by_weights.items())
    ]


def free_rows(worker: WorkerState) -> int:
    """Rows are filled by segments, whoever's: jobs do not tell, for one's segments are rendered by all workers."""
    return max(0, worker.max_rows - worker.active_rows)


def _worst(workers: Iterable[WorkerState], priority: Priority) -> float | None:
    """Of the workers that had such jobs lately, the one where they waited longest."""
    return max((w.wait_p95_s[priority.value] for w in workers if priority.value in w.wait_p95_s), default=None)


def _worker(worker: WorkerState) -> Json:
    return {
        "name": worker.name,
        "device": worker.device,
        "precision": worker.precision,
        "rows": worker.max_rows,
        "free_rows": free_rows(worker),
        "active_jobs": worker.active_jobs,
        "active_rows": worker.active_rows,
        "rtf": _rounded(worker.rtf),
        "audio_s_per_s": _rounded(worker.audio_s_per_s),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)
