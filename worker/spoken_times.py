"""When each segment and word of a finished job is heard, kept as a blob beside its audio."""

import json
from collections.abc import Sequence

from contract import blob_keys
from contract.stores.interfaces import BlobStore
from megatts3.api import Plan, SegmentResult, timings


def keep_times(blobs: BlobStore, job_id: str, segments: Sequence[SegmentResult]) -> str | None:
    """The blob's key; None where the engine did not say how it planned a segment."""
    planned = [segment.planned for segment in segments if segment.planned is not None]
    if len(planned) < len(segments):
        return None
    return keep_plan(blobs, job_id, Plan(tuple(planned)))


def keep_plan(blobs: BlobStore, job_id: str, plan: Plan) -> str:
    """As keep_times, for audio that was planned as it was spoken before."""
    told = [
        {
            "index": segment.index,
            "text": segment.text,
            "start_s": round(segment.start_s, 3),
            "end_s": round(segment.end_s, 3),
            "words": [
                {"text": word.text, "start_s": round(word.start_s, 3), "end_s": round(word.end_s, 3)}
                for word in segment.words
            ],
        }
        for segment in timings(plan)
    ]
    blob = blob_keys.job_timestamps(job_id)
    blobs.put(blob, json.dumps({"segments": told}, ensure_ascii=False).encode())
    return blob
