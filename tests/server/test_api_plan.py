"""POST /api/v1/tts/plan: what a text would be spoken as, without speaking it."""

import dataclasses
import io

from api_service import WORKER, wav_bytes

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Job, SpeechRequest
from megatts3_server.answer_schemas import PlanSchema

URL = "/api/v1/tts/plan"
BODY = {"text": "Hello there", "voice_id": "default", "parameters": {"speed": 1.5}}


def test_a_plan_is_answered_and_nothing_is_kept(service):
    response = service.client.post(URL, json=BODY)

    assert response.status_code == 200
    plan = response.get_json()
    assert PlanSchema().validate(plan) == {}
    assert plan["normalized_text"] == "Hello there"
    assert plan["segments"][0]["phones"] == ["E0ah"]
    assert plan["predicted_s"] == 0.48
    assert plan["queue"] == {"jobs": 0, "audio_s": 0.0, "estimated_wait_s": None}
    assert service.worker.spoken == []
    assert service.stores.jobs.list().jobs == ()
    assert service.stores.audio_cache.entries() == ()
    (plan_id,) = service.worker.sent
    assert service.stores.plans.asked(plan_id) is None
    assert service.stores.plans.answered(plan_id) is None


def test_the_seed_and_the_voice_are_those_of_the_synthesis(service):
    plan = service.client.post(URL, json=BODY).get_json()
    job = service.client.post("/api/v1/jobs", json=BODY).get_json()

    request = service.stores.jobs.get(job["id"]).request
    assert (plan["seed"], plan["voice_id"]) == (request.seed, request.voice_id)


def test_what_waits_in_front_is_told(settings, build):
    service = build(settings, worker=dataclasses.replace(WORKER, audio_s_per_s=2.0))
    service.stores.jobs.create(Job(id="job_1", request=SpeechRequest(text="A long one"), estimate_s=30.0))

    queue = service.client.post(URL, json=BODY).get_json()["queue"]

    assert queue == {"jobs": 1, "audio_s": 30.0, "estimated_wait_s": 15.0}


def test_a_recording_in_a_form_is_planned_for_and_goes(service):
    data = {"text": "Hello there", "voice_file": (io.BytesIO(wav_bytes(2.0)), "me.wav")}

    response = service.client.post(URL, data=data, content_type="multipart/form-data")

    assert response.status_code == 200, response.get_json()
    assert service.worker.heard == [wav_bytes(2.0)]
    assert list(service.stores.blobs.folders("jobs")) == []


def test_the_errors_are_those_of_a_synthesis(service):
    assert service.client.post(URL, json={**BODY, "voice_id": "nobody"}).status_code == 404
    assert service.client.post(URL, json={**BODY, "text": ""}).status_code == 422
    assert service.client.post(URL, json={**BODY, "text": "a" * 1001}).status_code == 422
    assert service.client.post(URL, json={**BODY, "emotion": "happy", "strict": True}).status_code == 422
    assert service.worker.sent == []


def test_what_the_worker_refuses_is_the_answer(service):
    service.worker.fail_with = ErrorInfo(ErrorCode.INVALID_VALUE, "nothing in the text can be spoken")

    response = service.client.post(URL, json=BODY)

    assert response.status_code == 422
    assert response.get_json()["detail"] == "nothing in the text can be spoken"


def test_without_a_worker_it_is_refused_at_once(settings, build):
    response = build(settings, worker=None).client.post(URL, json=BODY)

    assert (response.status_code, response.get_json()["error_code"]) == (503, "not_ready")


def test_a_full_queue_is_said_with_when_to_come_back(settings, build):
    settings = dataclasses.replace(settings, jobs=dataclasses.replace(settings.jobs, max_queued_audio_s=10.0))
    service = build(settings)
    service.stores.jobs.create(Job(id="job_1", request=SpeechRequest(text="A long one"), estimate_s=30.0))

    response = service.client.post(URL, json=BODY)

    assert (response.status_code, response.get_json()["error_code"]) == (503, "queue_full")
    assert int(response.headers["Retry-After"]) == 20
    assert service.worker.sent == []


def test_a_broker_that_is_away_is_said_and_leaves_nothing(service):
    service.worker.is_broker_away = True
    data = {"text": "Hello there", "voice_file": (io.BytesIO(wav_bytes(2.0)), "me.wav")}

    response = service.client.post(URL, data=data, content_type="multipart/form-data")

    assert (response.status_code, response.get_json()["error_code"]) == (503, "store_unavailable")
    assert list(service.stores.blobs.folders("jobs")) == []


def test_an_answer_that_does_not_come_is_504_and_the_question_is_withdrawn(settings, build):
    settings = dataclasses.replace(settings, api=dataclasses.replace(settings.api, sync_wait_s=0.1))
    service = build(settings)
    service.worker.hold = True

    response = service.client.post(URL, json=BODY)

    assert (response.status_code, response.get_json()["error_code"]) == (504, "deadline_exceeded")
    assert service.stores.plans.asked(service.worker.sent[0]) is None


def test_a_client_that_hangs_up_takes_its_question_along(service, hung_up):
    service.worker.hold = True

    response = service.client.post(URL, json=BODY, environ_overrides={"gunicorn.socket": hung_up})

    assert response.get_json()["error_code"] == "cancelled"  # and not only once the time was up
    assert service.stores.plans.asked(service.worker.sent[0]) is None
