"""The guide's own client and shell lines against a live server on loopback, unchanged."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from api_service import Service, npy_bytes, until, waiting_for_jobs, wav_bytes
from known_client import MegaTTS3Client, list_voices, upload_voice_sample
from werkzeug.serving import make_server

from contract.schemas import JobStatus


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, service.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def client(url: str) -> Iterator[MegaTTS3Client]:
    client = MegaTTS3Client(url)
    with client.session:
        yield client


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "reference_voice.wav"
    path.write_bytes(wav_bytes())
    return path


@pytest.fixture
def latent(tmp_path: Path) -> Path:
    path = tmp_path / "reference_voice.npy"
    path.write_bytes(npy_bytes())
    return path


def test_health(client: MegaTTS3Client):
    health = client.health_check()

    assert health["status"] == "healthy"
    assert health["memory_usage"]["total"].endswith("GB")


def test_synthesis(client: MegaTTS3Client):
    audio = client.synthesize_text(text="欢迎使用MegaTTS3语音合成服务", voice_id="voice_001", speed=1.0, pitch=1.0)

    assert audio == wav_bytes(0.5)


def test_cloning_from_a_file(client: MegaTTS3Client, clip: Path):
    assert client.synthesize_with_voice_file("你好世界", str(clip), speed=1.0, emotion=None) == wav_bytes(0.5)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the client's own
def test_cloning_from_a_file_with_its_latent(service: Service, client: MegaTTS3Client, clip: Path, latent: Path):
    audio = client.synthesize_with_voice_file("你好", str(clip), str(latent), infer_timestep=20, p_w=1.6, t_w="2.5")

    assert audio == wav_bytes(0.5)
    (job,) = service.stores.jobs.list().jobs
    assert (job.request.time_step, job.request.p_w, job.request.t_w) == (20, 1.6, 2.5)
    assert service.stores.blobs.get(job.reference_latent_blob) == npy_bytes()


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the client's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_upload_and_list(client: MegaTTS3Client, clip: Path):
    result = upload_voice_sample(client, "custom_voice_001", str(clip), description="自定义女声样本")
    voices = list_voices(client)

    assert (result["success"], result["voice_id"]) == (True, "custom_voice_001")
    for voice in voices["voices"]:
        assert voice.keys() >= {"id", "name", "type"}
    assert "custom_voice_001" in {voice["id"] for voice in voices["voices"]}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_guides_curl_lines(url: str, clip: Path, latent: Path, tmp_path: Path):
    out = tmp_path / "result.wav"
    lines = [
        ["-F", "text=你好世界", "-F", f"voice_file=@{clip}", "-F", f"voice_latent=@{latent}", "-F", "speed=1.0"],
        ["-H", "Content-Type: application/json", "-d", '{"text": "你好", "voice_id": "voice_001", "parameters": {}}'],
    ]
    for route, options in zip(("synthesize_file", "synthesize"), lines, strict=True):
        command = ["curl", "-sSf", "-X", "POST", f"{url}/api/v1/tts/{route}", *options, "--output", str(out)]
        subprocess.run(command, check=True, timeout=30)
        assert out.read_bytes() == wav_bytes(0.5)


def test_a_client_that_really_hangs_up_cancels_its_job(service: Service, url: str):
    service.worker.hold = True
    host, port = url.removeprefix("http://").split(":")
    body = b'{"text": "hi"}'
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /api/v1/tts/synthesize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        until(lambda: waiting_for_jobs(service) == 1)

    until(lambda: service.stores.jobs.list().jobs[0].status is JobStatus.CANCELLED)


def test_no_answer_is_ever_a_redirect(url: str):
    for path in ("/health/", "//health", "/api/v1/voices/", "/docs/", "/api//v1/voices"):
        answer = requests.get(url + path, allow_redirects=False, timeout=10)
        assert answer.status_code == 200, path


def test_a_slow_answer_is_not_a_late_one(service: Service, url: str):
    """The worker takes its time; the answer comes as soon as it is done."""
    service.worker.hold = True
    threading.Timer(0.3, service.worker.let_go.set).start()
    began = time.perf_counter()
    answer = requests.post(f"{url}/api/v1/tts/synthesize", json={"text": "hi"}, timeout=10)

    assert answer.status_code == 200
    assert time.perf_counter() - began < 2.9  # unannounced, a waiter looks again only after 3 s
