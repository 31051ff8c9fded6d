"""A job's times as JSON and subtitles, and its progress as events."""

import dataclasses
import json

from contract.schemas import JobProgress
from megatts3_server.job_times import srt, vtt

TIMES = {
    "segments": [
        {"index": 0, "text": "Hello there.", "start_s": 0.0, "end_s": 1.5, "words": []},
        {"index": 1, "text": "<B> & on", "start_s": 1.34, "end_s": 3661.002, "words": []},
    ]
}


def done_job(service, *, times: dict[str, object] | None = TIMES) -> str:
    job_id = service.client.post("/api/v1/jobs", json={"text": "Hello there. And on."}).get_json()["id"]
    assert service.client.get(f"/api/v1/jobs/{job_id}?wait=10").get_json()["status"] == "done"
    if times is not None:
        jobs = service.stores.jobs
        blob = f"jobs/{job_id}/timestamps.json"
        service.stores.blobs.put(blob, json.dumps(times).encode())
        job = jobs.get(job_id)
        jobs._jobs[job_id] = dataclasses.replace(job, result=dataclasses.replace(job.result, timestamps_blob=blob))
    return job_id


def test_times_are_json_by_default_and_the_job_says_where(service):
    job_id = done_job(service)
    url = service.client.get(f"/api/v1/jobs/{job_id}").get_json()["timestamps_url"]
    answer = service.client.get(url)

    assert answer.status_code == 200
    assert answer.get_json()["segments"] == TIMES["segments"]
    assert answer.get_json()["duration_s"] == 0.5


def test_subtitles_end_where_the_next_one_begins_and_carry_their_text_safely(service):
    job_id = done_job(service)
    as_srt = service.client.get(f"/api/v1/jobs/{job_id}/timestamps?format=srt")
    as_vtt = service.client.get(f"/api/v1/jobs/{job_id}/timestamps", headers={"Accept": "text/vtt"})

    assert as_srt.mimetype == "application/x-subrip"
    assert as_srt.get_data(as_text=True) == (
        "1\n00:00:00,000 --> 00:00:01,340\nHello there.\n\n2\n00:00:01,340 --> 01:01:01,002\n<B> & on\n"
    )
    assert as_vtt.mimetype == "text/vtt"
    assert as_vtt.get_data(as_text=True) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.340\nHello there.\n\n00:00:01.340 --> 01:01:01.002\n&lt;B&gt; &amp; on\n"
    )


def test_nothing_to_tell_is_no_subtitle():
    assert srt([]) == ""
    assert vtt([]) == "WEBVTT\n"


def test_times_of_an_unfinished_job_conflict_and_unknown_forms_are_named(service):
    service.worker.hold = True
    job_id = service.client.post("/api/v1/jobs", json={"text": "Wait for it."}).get_json()["id"]
    assert service.client.get(f"/api/v1/jobs/{job_id}/timestamps").status_code == 409
    service.worker.let_go.set()

    finished = done_job(service, times=None)
    assert service.client.get(f"/api/v1/jobs/{finished}/timestamps").status_code == 404
    refused = service.client.get(f"/api/v1/jobs/{finished}/timestamps?format=ass")
    assert refused.status_code == 422
    assert "srt" in refused.get_json()["errors"][0]["limit"]


def events_of(text: str) -> list[tuple[str, dict[str, object]]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def test_events_tell_progress_until_the_end(service):
    service.worker.hold = True
    job_id = service.client.post("/api/v1/jobs", json={"text": "A longer text."}).get_json()["id"]
    answer = service.client.get(f"/api/v1/jobs/{job_id}/events", buffered=False)
    assert answer.mimetype == "text/event-stream"
    pieces = iter(answer.response)
    (first,) = events_of(next(pieces).decode())
    claim = service.stores.jobs.claim(job_id, worker="w", lease_s=30)
    progress = JobProgress(2, 8, 70, 256, 4.5)
    service.stores.jobs.heartbeat(job_id, claim.token, lease_s=30, progress=progress)
    (second,) = events_of(next(pieces).decode())
    service.stores.jobs.request_cancel(job_id)
    service.stores.jobs.cancelled(job_id, claim.token)
    rest = events_of(b"".join(pieces).decode())
    service.worker.let_go.set()

    assert (first[0], first[1]["status"], first[1]["queue_position"]) == ("progress", "queued", 0)
    assert (second[0], second[1]["status"]) == ("progress", "running")
    assert second[1]["progress"]["segments_done"] == 2
    assert second[1]["progress"]["steps_total"] == 256
    assert second[1]["progress"]["eta_s"] is not None
    assert rest[-1][0] == "cancelled"


def test_events_of_an_ended_job_are_its_end(service):
    job_id = done_job(service)
    answer = service.client.get(f"/api/v1/jobs/{job_id}/events")

    ((name, job),) = events_of(answer.get_data(as_text=True))
    assert (name, job["id"], job["status"]) == ("done", job_id, "done")


def test_an_unknown_job_has_no_events(service):
    assert service.client.get("/api/v1/jobs/job_nowhere/events").status_code == 404
