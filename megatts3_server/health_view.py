"""What health says, made from the last look at the workers; known scripts read these names."""

import os
from typing import Any

from contract.errors import ErrorCode
from contract.messages import Language, describe_code
from contract.schemas import WorkerState
from megatts3_server.version import VERSION
from megatts3_server.workers_view import Snapshot

_GB = 1024**3


def view(snapshot: Snapshot, *, language: Language) -> dict[str, Any]:  # Any: what JSON holds
    """`status` healthy or unhealthy; `reason` says why not."""
    ready = snapshot.ready
    seen: dict[str, Any] = {
        "status": "healthy" if snapshot.is_healthy else "unhealthy",
        "version": VERSION,
        "model_loaded": bool(ready),
        "gpu_available": any(worker.gpu_available for worker in snapshot.workers),
        "memory_usage": memory_usage(snapshot.workers),
        "encoder_available": snapshot.encoder_available,
        "pronunciation": snapshot.pronunciation,
        "workers": {"ready": len(ready), "all": len(snapshot.workers)},
        "queue_depth": snapshot.depth.queued_jobs,
        "running_jobs": snapshot.depth.running_jobs,
        "queued_audio_s": round(snapshot.depth.queued_audio_s, 3),
        "devices": sorted({worker.device for worker in ready}),
    }
    if not snapshot.is_healthy:
        seen["reason"] = _reason(snapshot, language)
    return seen


def memory_usage(workers: tuple[WorkerState, ...]) -> dict[str, str]:
    """Of the workers' devices together; of this machine where no worker says."""
    known = [w for w in workers if w.memory_total_bytes is not None and w.memory_used_bytes is not None]
    if known:
        total = sum(w.memory_total_bytes or 0 for w in known)
        used = sum(w.memory_used_bytes or 0 for w in known)
    else:
        page = os.sysconf("SC_PAGE_SIZE")
        total = os.sysconf("SC_PHYS_PAGES") * page
        used = total - os.sysconf("SC_AVPHYS_PAGES") * page
    return {"total": gigabytes(total), "used": gigabytes(used), "free": gigabytes(max(0, total - used))}


def gigabytes(size_bytes: int) -> str:
    """`8GB`, `2.1GB`."""
    return f"{round(size_bytes / _GB, 1):g}GB"


def _reason(snapshot: Snapshot, language: Language) -> str:
    if snapshot.problem is not None:
        return describe_code(snapshot.problem, language)
    if snapshot.ready and snapshot.canary is not None:
        return f"canary: {snapshot.canary.reason}"
    problems = [worker.problem for worker in snapshot.workers if worker.problem]
    return problems[0] if problems else describe_code(ErrorCode.NOT_READY, language)
