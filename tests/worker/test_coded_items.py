"""Items over a real Redis and files, with the engine whose audio says what it was told to say, in whose voice."""

import io

import pytest
import soundfile

from contract import blob_keys
from contract.records import items_to_bytes
from contract.schemas import Item, Job, JobStatus, Priority, SpeechRequest, Voice
from contract.stores.opening import open_stores
from scripts.chaos.coded_audio import SAMPLE_RATE, codes_in
from scripts.chaos.coded_engine import CodedEngine, Pace
from scripts.chaos.coded_text import clip_of, expected, text_of


@pytest.mark.redis
def test_coded_items_over_real_redis_are_each_heard_where_they_belong(
    make_runtime, redis_settings, clock, monkeypatch, tmp_path
):
    """The coded engine says what it was told to say, in whose voice: 30 items, two voices, three workers."""
    monkeypatch.chdir(tmp_path)
    shared = open_stores(redis_settings, clock=clock)
    workers = []
    for n in range(3):
        built = make_runtime(CodedEngine(Pace(step_s=0.0005)), name=f"coded{n}", stores=shared)
        built._events.start()
        workers.append(built)
    for number in (3, 4):
        buffer = io.BytesIO()
        soundfile.write(buffer, clip_of(number), SAMPLE_RATE, format="WAV")
        shared.blobs.put(f"voices/v{number}/r1/clip", buffer.getvalue())
        shared.voices.create(Voice(id=f"v{number}", name="V", clip_blob=f"voices/v{number}/r1/clip"))
    wanted = [(2000 + n, 1 + n % 3, 3 + n % 2) for n in range(30)]
    items = [Item(SpeechRequest(text=text_of(c, parts), voice_id=f"v{v}", seed=c)) for c, parts, v in wanted]
    shared.blobs.put(blob_keys.job_items("batch"), items_to_bytes(items))
    request = SpeechRequest(text="", voice_id="v3")
    shared.jobs.create(Job(id="batch", request=request, items=30, voices=("v3", "v4"), priority=Priority.BATCH))
    workers[0].synthesize("batch")

    assert shared.jobs.get("batch").status is JobStatus.DONE
    found = shared.jobs.items("batch")
    for n, (code, parts, number) in enumerate(wanted):
        heard, _ = soundfile.read(io.BytesIO(shared.blobs.get(found[n].result.audio_blob)), dtype="float32")
        assert codes_in(heard) == expected(code, parts, number)
