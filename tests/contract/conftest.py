from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.schemas import AudioFormat, Job, JobResult, SpeechRequest, Voice, new_id


@pytest.fixture
def new_job() -> Callable[..., Job]:
    def make(**changes) -> Job:
        values = {"id": new_id("job"), "request": SpeechRequest(text="你好, world"), "estimate_s": 1.5}
        return Job(**{**values, **changes})

    return make


@pytest.fixture
def new_voice() -> Callable[..., Voice]:
    def make(voice_id: str = "alice", **changes) -> Voice:
        return Voice(**{"id": voice_id, "name": "Alice 爱丽丝", "clip_blob": "voices/alice/rec/clip", **changes})

    return make


@pytest.fixture
def result() -> JobResult:
    return JobResult(
        audio_blob="jobs/job_1/audio.wav",
        audio_format=AudioFormat.WAV,
        duration_s=2.5,
        sample_rate=24_000,
        size_bytes=120_044,
        synthesis_s=1.25,
        segments=2,
        warnings=("style",),
    )
