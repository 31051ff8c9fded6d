"""What the worker makes of a recording before it becomes a prompt, and which recording an emotion picks."""

import io

import numpy as np
import pytest
import soundfile
from fake_engine import FakeEngine, voice_of
from patience import clip, eventually

from contract.clip_quality import FIXES, PROBLEMS, ClipFix, ClipProblem
from contract.errors import ErrorCode
from contract.messages import Language
from contract.schemas import JobStatus, Voice, VoiceStatus
from contract.voice_styles import style_id
from megatts3.audio.formats import decode
from megatts3.audio.reference_check import MAX_S, Fix, Problem
from megatts3.pipeline.voice import MAX_PROMPT_S
from worker import reference_clips
from worker.reference_clips import language_heard, prepare_clip


def wav(samples: np.ndarray, rate: int = 24_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def latent(frames: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, frames, 32), np.float32))
    return buffer.getvalue()


QUIET_AND_OFF_CENTRE = wav(0.002 * np.sin(np.arange(24_000 * 40) * 0.05) + 0.1)


def test_both_sides_have_one_name_for_each_finding_and_two_sentences():
    assert {p.value for p in Problem} | {"other_language"} == {p.value for p in ClipProblem} == set(PROBLEMS)
    assert {f.value for f in Fix} == {f.value for f in ClipFix} == set(FIXES)
    figures = reference_clips.quality_of_clip(clip(), voice_of(b"x")) | {"snr_db": 3.0, "language_heard": "zh"}
    for sentences in (*PROBLEMS.values(), *FIXES.values()):
        assert len({sentence.format_map(figures) for sentence in sentences}) == len(Language)


def test_what_is_checked_is_no_longer_than_a_prompt():
    assert MAX_S == MAX_PROMPT_S


def test_a_mended_recording_reaches_the_engine_and_the_record_says_so(runtime, stores):
    stores.blobs.put("voices/v/rec/clip", QUIET_AND_OFF_CENTRE)
    stores.voices.create(Voice(id="v", name="v", clip_blob="voices/v/rec/clip", language="en"))

    runtime.prepare_voice("v")

    ready = stores.voices.get("v")
    assert ready.status is VoiceStatus.READY
    assert set(ready.quality["fixes"]) == {"dc_removed", "shortened", "level_raised"}
    assert {"quiet", "dc_offset"} <= set(ready.quality["problems"])
    assert ready.duration_s == pytest.approx(40)
    used = decode(runtime.engine.prepared[0])
    assert used.duration_s <= MAX_S
    assert used.peak > 0.05
    assert abs(float(used.samples.mean())) < 1e-3
    assert stores.blobs.get("voices/v/rec/clip") == QUIET_AND_OFF_CENTRE  # what was uploaded stays


def test_a_recording_with_a_latent_is_told_about_and_left_alone():
    engine = FakeEngine(has_encoder=False)

    made = prepare_clip(engine, QUIET_AND_OFF_CENTRE, latent(1012))

    assert engine.prepared == [QUIET_AND_OFF_CENTRE]
    assert made.quality["fixes"] == []
    assert "dc_offset" in made.quality["problems"]


def test_a_clip_that_came_with_a_request_is_mended_as_a_registered_one_is(runtime, stores, submit, status):
    stores.blobs.put("jobs/a/reference", QUIET_AND_OFF_CENTRE)
    job = submit(reference_audio_blob="jobs/a/reference")
    runtime.synthesize(job.id)

    assert status(job) is JobStatus.DONE
    assert runtime.engine.prepared == [prepared_bytes(QUIET_AND_OFF_CENTRE)]


def prepared_bytes(data: bytes) -> bytes:
    engine = FakeEngine()
    prepare_clip(engine, data, None)
    return engine.prepared[0]


def test_m4a_without_a_decoder_is_refused_as_audio_that_cannot_be_read(runtime, stores, monkeypatch):
    monkeypatch.setattr("megatts3.audio.libav.is_available", lambda: False)
    stores.blobs.put("voices/v/rec/clip", b"\0\0\0\x20ftypM4A " + bytes(100))
    stores.voices.create(Voice(id="v", name="v", clip_blob="voices/v/rec/clip"))

    runtime.prepare_voice("v")

    error = stores.voices.get("v").error
    assert error.code is ErrorCode.AUDIO_UNREADABLE
    assert error.detail == "m4a cannot be read here; wav, flac, mp3, ogg can"


@pytest.mark.parametrize(
    ("phones", "heard"),
    [((3,) * 20, "zh"), ((101,) * 20, "en"), ((3,) * 10 + (101,) * 10, None), ((3,) * 5 + (145,) * 30, None)],
)
def test_the_language_is_told_where_it_is_clear(phones, heard):
    prompt = voice_of(b"x")
    object.__setattr__(prompt, "phones", phones)

    assert language_heard(prompt) == heard


def test_an_emotion_speaks_with_the_prompt_of_its_own_recording(runtime, stores, voice, submit):
    stores.blobs.put("voices/anna/rec2/clip", clip(440.0))
    happy = Voice(
        id=style_id("anna", "happy"), name="Anna", style="happy", style_of="anna", clip_blob="voices/anna/rec2/clip"
    )
    stores.voices.create(happy)
    runtime.prepare_voice(happy.id)

    for emotion in ("neutral", "happy"):
        runtime.synthesize(submit(request={"emotion": emotion}).id)

    assert runtime.engine.prepared == [clip(440.0), clip()]
    assert stores.voices.get(happy.id).prompt_blob == "voices/anna/happy-v1/prompt.safetensors"
    assert stores.voices.get("anna").prompt_blob == "voices/anna/v1/prompt.safetensors"


def test_a_style_that_was_erased_meanwhile_is_not_spoken_with_another(runtime, stores, voice, submit):
    """The fingerprint is of the erased clip: other audio must not be cached under it."""
    job = submit(request={"emotion": "happy"})

    runtime.synthesize(job.id)

    assert stores.jobs.get(job.id).error.code is ErrorCode.STYLE_NOT_FOUND


def test_audio_of_a_voice_that_was_erased_while_it_spoke_is_kept_nowhere(
    runtime, stores, voice, submit, status, in_background
):
    runtime.engine.gate.clear()
    job = submit()
    in_background(runtime.synthesize, job.id)
    eventually(lambda: runtime.engine.submitted)

    stores.voices.delete(voice.id)
    runtime.engine.gate.set()

    eventually(lambda: status(job).is_terminal)
    assert stores.jobs.get(job.id).error.code is ErrorCode.VOICE_NOT_FOUND
    assert not stores.blobs.exists(f"jobs/{job.id}/audio.wav")
