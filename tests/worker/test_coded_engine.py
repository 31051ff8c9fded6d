"""The engine that chaos uses speaks through the worker as it is: whole, in order, in the right voice."""

import io

import soundfile

from contract.schemas import Job, JobStatus, SpeechRequest, Voice
from scripts.chaos.coded_audio import SAMPLE_RATE, codes_in
from scripts.chaos.coded_engine import CodedEngine, Pace
from scripts.chaos.coded_text import clip_of, expected, text_of


def recording(voice: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, clip_of(voice), SAMPLE_RATE, format="WAV")
    return buffer.getvalue()


def test_a_long_text_is_heard_whole_in_order_and_in_its_voice(make_runtime, stores):
    runtime = make_runtime(CodedEngine(Pace(step_s=0.001)))
    for number in (3, 4):
        stores.blobs.put(f"voices/v{number}/r1/clip", recording(number))
        stores.voices.create(Voice(id=f"v{number}", name="V", clip_blob=f"voices/v{number}/r1/clip"))
    for number, parts in ((3, 1), (4, 7), (3, 7)):
        request = SpeechRequest(text=text_of(1000 + number, parts), voice_id=f"v{number}")
        job = stores.jobs.create(Job(id=f"job_{number}_{parts}", request=request)).job

        runtime.synthesize(job.id)

        done = stores.jobs.get(job.id)
        assert done.status is JobStatus.DONE, done.error
        samples, _ = soundfile.read(io.BytesIO(stores.blobs.get(done.result.audio_blob)), dtype="float32")
        assert codes_in(samples) == expected(1000 + number, parts, number)
