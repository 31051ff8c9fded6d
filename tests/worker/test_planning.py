"""A plan is answered by reading and timing, and by nothing else."""

from patience import clip

from contract.errors import ErrorCode
from contract.schemas import Job, SpeechRequest
from megatts3.text.phones import inventory
from worker.translate import UNEXPLAINED


def ask(stores, voice, text: str = "Hello there. And again", **fields) -> str:
    job = Job(id="plan_1", request=SpeechRequest(text=text, voice_id=voice.id), **fields)
    stores.plans.ask(job, ttl_s=60)
    return job.id


def test_a_text_is_planned_and_not_spoken(runtime, stores, voice):
    plan_id = ask(stores, voice)

    runtime.plan(plan_id)

    plan = stores.plans.answered(plan_id).plan
    assert [segment["text"] for segment in plan["segments"]] == ["Hello there", " And again"]
    first = plan["segments"][0]
    assert first["phone_ids"] == list(b"Hello there")
    assert first["phones"] == [inventory().names[phone] for phone in b"Hello there"]
    assert first["tone_ids"] == [0] * 11
    assert first["tones"] == ["<pad>"] * 11
    assert first["predicted_s"] == 0.55  # eleven phones of 50 ms
    assert 0 < plan["predicted_s"] < sum(segment["predicted_s"] for segment in plan["segments"])  # they overlap
    assert plan["language"] == "en"
    assert runtime.engine.submitted == []
    assert stores.jobs.list().jobs == ()
    assert stores.audio_cache.entries() == ()


def test_the_text_is_given_as_it_is_read(runtime, stores, voice):
    plan_id = ask(stores, voice, "It costs 5 dollars")

    runtime.plan(plan_id)

    assert "five" in stores.plans.answered(plan_id).plan["normalized_text"]


def test_an_uploaded_recording_is_planned_for(runtime, stores, voice):
    stores.blobs.put("jobs/plan_1/reference", clip())
    plan_id = ask(stores, voice, reference_audio_blob="jobs/plan_1/reference")

    runtime.plan(plan_id)

    assert stores.plans.answered(plan_id).plan is not None
    assert runtime.engine.prepared == [clip()]


def test_a_text_that_cannot_be_spoken_is_an_error_for_who_asked(runtime, stores, voice):
    plan_id = ask(stores, voice, "...")

    runtime.plan(plan_id)

    assert stores.plans.answered(plan_id).error.code is ErrorCode.INVALID_VALUE


def test_a_mistake_of_ours_is_answered_too_and_quotes_nothing(runtime, stores, voice, monkeypatch):
    def break_down(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(runtime.engine, "plan", break_down)
    plan_id = ask(stores, voice)

    runtime.plan(plan_id)

    error = stores.plans.answered(plan_id).error
    assert (error.code, error.detail) == (ErrorCode.INTERNAL, UNEXPLAINED)


def test_a_question_that_was_withdrawn_is_left_alone(runtime, stores, voice, monkeypatch):
    planned = []
    monkeypatch.setattr(runtime.engine, "plan", lambda *asked: planned.append(asked))
    plan_id = ask(stores, voice)
    stores.plans.withdraw(plan_id)

    runtime.plan(plan_id)

    assert planned == []
    assert stores.plans.answered(plan_id) is None


def test_a_question_withdrawn_while_its_recording_is_read_is_no_mistake_of_ours(
    runtime, stores, voice, monkeypatch, caplog
):
    def withdrawn_meanwhile(key):
        stores.plans.withdraw("plan_1")
        raise KeyError(key)

    monkeypatch.setattr(stores.blobs, "get", withdrawn_meanwhile)
    plan_id = ask(stores, voice, reference_audio_blob="jobs/plan_1/reference")

    with caplog.at_level("INFO"):
        runtime.plan(plan_id)

    assert stores.plans.answered(plan_id) is None
    assert "plan_not_wanted" in caplog.text
    assert "plan_failed" not in caplog.text
