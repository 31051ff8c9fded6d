"""A job's audio leaves the worker segment by segment, for those who want it, and only for them."""

import threading

import numpy as np
import pytest
from fake_engine import SAMPLE_RATE, FakeEngine, speech, voice_of
from patience import clip, eventually

from contract.errors import ErrorCode, ServiceError
from contract.schemas import AudioFormat, JobStatus
from megatts3.audio.join import join
from megatts3.audio.waveform import Waveform
from worker import segment_audio, waiting_sound
from worker.scratch import Scratch
from worker.streaming import OutgoingAudio
from worker.translate import to_sampling_params

TEXT = "One. Two and more. Three."
SPOKEN = ("One", " Two and more", " Three")
PCM = {"response_format": AudioFormat.PCM, "seed": 3}


def joined_pcm(job) -> bytes:
    params = to_sampling_params(job.request, seed=3)
    spoken = [speech(part, voice_of(clip()), params) for part in SPOKEN]
    kept = [segment_audio.from_blob(segment_audio.to_blob(each)) for each in spoken]  # as any worker may render them
    return join(kept).pcm16().tobytes()


def chunks_of(stores, job):
    return stores.chunks.read(job.id, stores.jobs.get(job.id).token)


def test_the_chunks_together_are_the_audio_that_is_stored(runtime, stores, submit):
    job = submit(TEXT, request=PCM)
    stores.chunks.want(job.id)

    runtime.synthesize(job.id)

    chunks = chunks_of(stores, job)
    stored = stores.blobs.get(stores.jobs.get(job.id).result.audio_blob)
    assert [chunk.sequence for chunk in chunks] == [0, 1, 2]
    assert [chunk.is_last for chunk in chunks] == [False, False, True]
    assert b"".join(chunk.data for chunk in chunks) == stored == joined_pcm(job)


def test_chunks_say_which_samples_they_hold(runtime, stores, submit):
    job = submit(TEXT, request=PCM)
    stores.chunks.want(job.id)

    runtime.synthesize(job.id)

    expected = 0
    for chunk in chunks_of(stores, job):
        assert chunk.about["rate"] == str(SAMPLE_RATE)
        assert int(chunk.about["starts_at"]) == expected
        expected += len(chunk.data) // 2
        assert int(chunk.about["ends_at"]) == expected


def test_a_chunk_is_there_before_the_next_segment_is_begun(make_runtime, stores, submit, in_background):
    engine = FakeEngine()
    runtime = make_runtime(engine)
    job = submit(TEXT, request=PCM)
    stores.chunks.want(job.id)
    let_through = OneByOne(engine)

    in_background(runtime.synthesize, job.id)
    let_through.next()
    eventually(lambda: len(chunks_of(stores, job)) == 1)

    assert stores.jobs.get(job.id).status is JobStatus.RUNNING
    let_through.set()
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.DONE)


def test_who_comes_late_gets_what_was_finished_before(make_runtime, stores, submit, in_background):
    engine = FakeEngine()
    runtime = make_runtime(engine)
    job = submit(TEXT, request=PCM)
    let_through = OneByOne(engine)

    in_background(runtime.synthesize, job.id)
    let_through.next()
    eventually(lambda: let_through.taken == 1)
    stores.chunks.want(job.id)
    let_through.set()
    eventually(lambda: stores.jobs.get(job.id).status is JobStatus.DONE)

    assert b"".join(chunk.data for chunk in chunks_of(stores, job)) == joined_pcm(job)


def test_who_comes_late_to_a_book_gets_it_in_pieces(runtime, stores, submit, monkeypatch):
    """What nobody has asked for yet lies in a file beyond a bound, and no chunk is longer than a segment."""
    texts = [f"Sentence number {n}" for n in range(12)]
    longest = max(
        len(speech(text, voice_of(clip()), to_sampling_params(submit().request, seed=3)).samples) for text in texts
    )
    monkeypatch.setattr(waiting_sound, "IN_MEMORY_BYTES", 2 * longest * 4)
    job = submit(". ".join(texts) + ".", request=PCM)
    asked = iter([False] * (len(texts) - 1) + [True] * len(texts))
    monkeypatch.setattr(stores.chunks, "is_wanted", lambda _: next(asked))
    opened = []
    monkeypatch.setattr(Scratch, "open", lambda self, real=Scratch.open: opened.append(real(self)) or opened[-1])

    runtime.synthesize(job.id)

    chunks = chunks_of(stores, job)
    stored = stores.blobs.get(stores.jobs.get(job.id).result.audio_blob)
    assert len(chunks) == len(texts)
    assert b"".join(chunk.data for chunk in chunks) == stored
    assert max(len(chunk.data) for chunk in chunks) <= 2 * (longest + SAMPLE_RATE)
    assert len(opened) == 2  # the answer's own, and that of what waited
    assert all(file.closed for file in opened)


def test_a_job_nobody_listens_to_leaves_no_chunks(runtime, stores, submit):
    job = submit(TEXT)

    runtime.synthesize(job.id)

    assert chunks_of(stores, job) == ()


def test_a_stream_whose_store_goes_away_has_no_end_but_the_job_has(runtime, stores, submit, monkeypatch):
    job = submit(TEXT, request=PCM)
    stores.chunks.want(job.id)
    append = stores.chunks.append

    def away_after_the_first(job_id, token, chunk):
        if chunk.sequence:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE)
        append(job_id, token, chunk)

    monkeypatch.setattr(stores.chunks, "append", away_after_the_first)
    runtime.synthesize(job.id)

    assert [chunk.is_last for chunk in chunks_of(stores, job)] == [False]
    assert stores.jobs.get(job.id).status is JobStatus.DONE


def test_flac_is_not_streamed(runtime, stores, submit):
    job = submit(TEXT, request={"response_format": AudioFormat.FLAC})
    stores.chunks.want(job.id)

    runtime.synthesize(job.id)

    assert chunks_of(stores, job) == ()


def test_broken_sound_is_never_sent(stores, submit):
    job = submit(TEXT, request=PCM)
    stores.chunks.want(job.id)
    outgoing = OutgoingAudio(stores.chunks, job, 1, scratch=Scratch())

    with pytest.raises(ServiceError) as refused:
        outgoing.push(Waveform(np.array([0.0, np.nan], np.float32), SAMPLE_RATE))

    assert refused.value.code is ErrorCode.SYNTHESIS_FAILED
    assert stores.chunks.read(job.id, 1) == ()


class OneByOne:
    """Lets the fake engine speak one segment at a time."""

    def __init__(self, engine: FakeEngine) -> None:
        self.taken = 0
        self._permits = threading.Semaphore(0)
        self._is_open = False
        engine.gate = self

    def wait(self, timeout_s: float) -> bool:
        if not self._is_open and not self._permits.acquire(timeout=timeout_s):
            return False
        self.taken += 1
        return True

    def next(self) -> None:
        self._permits.release()

    def set(self) -> None:
        """All that is left; the fixture opens every gate at the end."""
        self._is_open = True
