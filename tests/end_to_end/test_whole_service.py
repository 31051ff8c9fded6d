"""Over real HTTP, through real Redis, with a real worker process.  The last three tests break and stop the service."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from live_service import ROOT, Service, clip, eventually, parents_of_all, samples_of

from tests.independent_decoder import RATE, decoded

ROUNDING = 3 / 32768  # padded and unpadded rows may differ in the last bits of a 16-bit sample
pytestmark = pytest.mark.timeout(240)


def test_a_text_becomes_audio_and_comes_from_the_cache_the_second_time(service):
    first = service.synthesize("你好，世界。Hello there.", voice_id="voice_001")
    again = service.synthesize("你好，世界。Hello there.", voice_id="voice_001")

    assert first.status_code == 200, first.text
    assert first.headers["X-Cache"] == "miss"
    samples = samples_of(first.content)
    assert np.sqrt(np.mean(samples**2)) > 1e-3
    job = service.job(first.headers["X-Job-ID"])
    assert len(samples) / 24_000 == pytest.approx(job["predicted_s"], rel=0.3)
    assert again.headers["X-Cache"] == "hit"
    assert again.content == first.content


def test_a_plan_foretells_what_is_then_spoken(service):
    wanted = {"text": "你好，世界。It costs 5 dollars.", "voice_id": "voice_001", "cache": False}
    answer = service.post("/api/v1/tts/plan", json=wanted)
    spoken = service.post("/api/v1/tts/synthesize", json=wanted)

    assert answer.status_code == 200, answer.text
    plan, job = answer.json(), service.job(spoken.headers["X-Job-ID"])
    assert plan["predicted_s"] == pytest.approx(job["predicted_s"], abs=0.002)
    for segment in plan["segments"]:
        assert len(segment["phones"]) == len(segment["phone_ids"]) == len(segment["tones"]) == len(segment["tone_ids"])
    assert "C0n" in plan["segments"][0]["phones"]


def test_health_names_the_worker_as_ready(service):
    answer = service.get("/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"
    assert answer.json()["model_loaded"] is True


def test_an_uploaded_voice_can_speak_and_is_listed(service):
    uploaded = service.post("/api/v1/voices/upload", files={"voice_file": clip(250.0)}, data={"voice_id": "mine"})
    spoken = service.synthesize("In my own voice.", voice_id="mine")

    assert uploaded.status_code == 201, uploaded.text
    assert spoken.status_code == 200, spoken.text
    assert {"default", "voice_001", "mine"} <= {v["id"] for v in service.get("/api/v1/voices").json()["voices"]}


def test_a_clip_uploaded_with_the_text_is_imitated(service):
    answer = service.post(
        "/api/v1/tts/synthesize_file",
        files={"voice_file": clip(350.0)},
        data={"text": "你好世界", "time_step": "4.0", "speed": "1.0"},
    )

    assert answer.status_code == 200, answer.text
    assert len(samples_of(answer.content))


def test_a_request_sounds_the_same_alone_and_among_others(service):
    """Rows of one batch do not know each other: the same request, the same audio."""
    texts = ["One, two, three, four, five.", "短。", "A longer sentence that goes on for a little while, and on."]
    wanted = {"seed": 5, "cache": False, "time_step": 8}
    alone = service.synthesize("Listen to me alone.", **wanted)

    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(service.synthesize, text, cache=False, time_step=8) for text in texts * 2]
        among = pool.submit(service.synthesize, "Listen to me alone.", **wanted).result()
        assert {other.result().status_code for other in others} == {200}

    one, two = samples_of(alone.content), samples_of(among.content)
    assert one.shape == two.shape
    assert np.abs(one - two).max() <= ROUNDING


def test_a_job_is_accepted_polled_and_fetched(service):
    accepted = service.post("/api/v1/jobs", json={"text": "Later. 再见。", "time_step": 4})
    assert accepted.status_code == 202, accepted.text

    where = accepted.headers["Location"]
    eventually(lambda: service.get(where, params={"wait": "5"}).json()["status"] == "done")

    job = service.get(where).json()
    assert len(samples_of(service.get(job["audio_url"]).content)) / 24_000 == pytest.approx(job["duration_s"], abs=0.01)


def test_the_log_gives_operators_the_synthesis_time(service):
    service.synthesize("For the log.")

    program = "{sum+=$4; count++} END {print sum/count}"
    found = subprocess.run(
        ["sh", "-c", f"grep synthesis_time {service.facts['logs']}/megatts3.log | awk '{program}'"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(found.stdout) > 0


def test_a_second_launcher_on_the_same_storage_is_refused(service):
    second = subprocess.run(
        [sys.executable, "-m", "cli.main", "up", "--port", "65000"],
        env=service.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 4
    assert str(service.launcher.pid) in second.stderr


def test_a_killed_worker_is_restarted_and_its_job_is_done_once(service):
    text = " ".join(f"Sentence number {n} of a long text, which takes its time." for n in range(12))
    accepted = service.post("/api/v1/jobs", json={"text": text, "time_step": 48, "cache": False})
    job_id = accepted.json()["id"]
    eventually(lambda: service.job(job_id)["progress"]["steps_done"] > 0)
    assert service.job(job_id)["status"] == "running"

    os.kill(service.facts["pids"]["worker0"], signal.SIGKILL)

    eventually(lambda: service.job(job_id)["status"] in {"done", "failed"}, 120)
    job = service.job(job_id)
    assert job["status"] == "done", job
    assert was_put_back(service, job_id)
    assert len(samples_of(service.get(job["audio_url"]).content))
    assert service.is_ready()


@pytest.mark.parametrize("audio_format", ["mp3", pytest.param("wav", marks=pytest.mark.slow)])
def test_a_worker_killed_midway_through_a_stream_breaks_an_mp3_and_not_a_wav(service, audio_format):
    """What says which samples it holds goes on with the next attempt; what does not is seen to end too early."""
    eventually(service.is_ready)
    text = " ".join(f"Sentence {n} of a long text in {audio_format}, which takes its time." for n in range(8))
    body = {"text": text, "stream": True, "response_format": audio_format, "time_step": 48, "cache": False}
    with service.post("/api/v1/tts/synthesize", json=body, stream=True) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        pieces, job_id = answer.iter_content(None), answer.headers["X-Job-ID"]
        received = next(pieces)
        assert service.job(job_id)["status"] == "running"
        os.kill(worker_of(service), signal.SIGKILL)
        if audio_format == "wav":
            received += b"".join(pieces)
            assert len(decoded(received, audio_format)) > RATE
        else:
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                list(pieces)
    assert was_put_back(service, job_id)


def was_put_back(service: Service, job_id: str) -> bool:
    """It lost its worker and was queued again.  `attempts` does not tell: a text of many segments that waited for them
    is not to blame.
    """
    lines = (Path(str(service.facts["logs"])) / "megatts3.log").read_text().splitlines()
    return any("job_requeued" in line and job_id in line for line in lines)


def worker_of(service: Service) -> int:
    """The worker process that runs now; the launcher starts another for each that ends."""
    launched = [pid for pid, parent in parents_of_all().items() if parent == service.launcher.pid]
    (found,) = [pid for pid in launched if b"worker.app" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def test_a_stop_leaves_no_process_behind(service):
    before = service.descendants()
    assert len(before) >= 4  # launcher, Redis, worker, API and its process

    service.launcher.send_signal(signal.SIGTERM)

    assert service.launcher.wait(90) == 0, service.log.read_text()
    eventually(lambda: not before & parents_of_all().keys())
    assert "stopped" in service.log.read_text()
