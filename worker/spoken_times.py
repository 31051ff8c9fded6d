"""When each segment and word of a finished job is heard, kept as a blob beside its audio."""

import json
from collections.abc import Sequence

from megatts3.api import Plan, SegmentResult, timings


def times_of(segments: Sequence[SegmentResult]) -> bytes | None:
    """The blob; None where the engine did not say how it planned a segment."""
    planned = [segment.planned for segment in segments if segment.planned is not None]
    if len(planned) < len(segments):
        return None
    return times_of_plan(Plan(tuple(planned)))


def times_of_plan(plan: Plan) -> bytes:
    """As times_of, for audio that was planned as it was spoken before."""
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
    return json.dumps({"segments": told}, ensure_ascii=False).encode()
