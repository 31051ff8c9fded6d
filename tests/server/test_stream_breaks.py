"""A stream that breaks midway, over sockets against gunicorn: the client sees it, and nobody goes on working for it."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from api_service import FakeWorker, until, wav_bytes
from test_api_gunicorn import Live, live

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Job, JobStatus
from contract.stores.interfaces import Chunk
from contract.stores.jobs import Claim

__all__ = ["live"]  # the fixture: gunicorn with two processes, Redis, a stand-in for the worker
pytestmark = pytest.mark.redis

PATH = "/api/v1/tts/synthesize"
PIECE = wav_bytes(0.5)
END_OF_CHUNKS = b"0\r\n\r\n"
WITHIN_S = 20.0


class Speaker:
    """Speaks one streamed job over the real stores, piece by piece."""

    def __init__(self, worker: FakeWorker, text: str) -> None:
        self.stores, self.text = worker.stores, text
        self.samples = self.sequence = 0
        self.claimed: Claim | None = None

    @property
    def job(self) -> Job:
        return next(job for job in self.stores.jobs.list().jobs if job.request.text == self.text)

    @property
    def claim(self) -> Claim:
        assert self.claimed is not None
        return self.claimed

    def begin(self, *, lease_s: float = 60.0) -> None:
        until(lambda: any(job.request.text == self.text for job in self.stores.jobs.list().jobs))
        until(lambda: self.stores.chunks.is_wanted(self.job.work_id))
        self.claimed = self.stores.jobs.claim(self.job.id, worker="w", lease_s=lease_s)
        self.say()

    def say(self, *, is_last: bool = False) -> None:
        ends_at = self.samples + 12_000
        about = {"starts_at": str(self.samples), "ends_at": str(ends_at), "rate": "24000"}
        chunk = Chunk(self.sequence, PIECE, is_last=is_last, about=about)
        self.stores.chunks.append(self.job.work_id, self.claim.token, chunk)
        self.samples, self.sequence = ends_at, self.sequence + 1

    def fail(self) -> None:
        error = ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "the engine gave audio that cannot be used")
        assert self.stores.jobs.fail(self.job.id, self.claim.token, error)

    def is_lost(self) -> None:
        """Killed: its lease runs out, and a sweep gives the job up."""
        until(lambda: self.stores.jobs.requeue(self.job.id, max_attempts=1) is not None, timeout_s=WITHIN_S)


@pytest.fixture
def held(live: Live) -> Iterator[FakeWorker]:
    live.worker.hold = True
    yield live.worker
    live.worker.hold = False


@pytest.fixture
def speaker(held: FakeWorker, request: pytest.FixtureRequest) -> Speaker:
    return Speaker(held, f"What breaks in {request.node.name}.")


def body_of(speaker: Speaker, **fields: object) -> dict[str, object]:
    return {"text": speaker.text, "voice_id": "default", "stream": True, "cache": False, **fields}


def raw(live: Live, body: dict[str, object]) -> socket.socket:
    """The request on a socket, so that what comes is seen as it comes."""
    data, address = json.dumps(body).encode(), urlsplit(live.url)
    assert address.port is not None
    connection = socket.create_connection(("127.0.0.1", address.port), timeout=WITHIN_S)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    connection.sendall(head.encode() + data)
    return connection


def to_the_end(connection: socket.socket) -> bytes:
    """Everything until the server closes; a reset counts as closed."""
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("how", ["fail", "is_lost"])
@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_the_body_ends_without_its_end_and_the_connection_is_closed(live, speaker, how, audio_format):
    with raw(live, body_of(speaker, response_format=audio_format)) as connection:
        speaker.begin(lease_s=0.3 if how == "is_lost" else 60)
        first = connection.recv(1 << 20)
        assert first.startswith(b"HTTP/1.1 200")
        assert b"transfer-encoding: chunked" in first.lower()

        getattr(speaker, how)()
        rest = to_the_end(connection)  # comes to an end only where the server closes

    assert PIECE[:100] in first + rest
    assert not (first + rest).endswith(END_OF_CHUNKS)
    assert speaker.job.status is JobStatus.FAILED


def test_clients_call_it_an_error_and_no_short_file(live, speaker, tmp_path: Path):
    """Curl by its exit status, requests and http.client by an exception; never a file that looks whole."""
    saved = tmp_path / "speech.wav"
    curl = ["curl", "-sS", "-o", str(saved), "-H", "Content-Type: application/json", f"{live.url}{PATH}"]
    with ThreadPoolExecutor(3) as pool:
        body = body_of(speaker)
        by_curl = pool.submit(subprocess.run, [*curl, "-d", json.dumps(body)], capture_output=True, check=False)
        by_requests = pool.submit(lambda: requests.post(f"{live.url}{PATH}", json=body, timeout=WITHIN_S).content)
        by_http_client = pool.submit(read_whole, live, body)
        until(lambda: listeners(live.worker) == 3, timeout_s=WITHIN_S)
        speaker.begin()
        time.sleep(0.2)  # the piece is on its way to all three
        speaker.fail()

        assert by_curl.result(WITHIN_S).returncode == 18  # "partial file": transfer closed with data outstanding
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            by_requests.result(WITHIN_S)
        with pytest.raises(http.client.IncompleteRead):
            by_http_client.result(WITHIN_S)


def test_events_end_with_the_error_and_a_proper_end(live, speaker):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(read_whole, live, body_of(speaker, stream_format="sse"))
        speaker.begin()
        speaker.fail()
        blocks = answer.result(WITHIN_S).decode().split("\n\n")

    events = [json.loads(block.split("data: ", 1)[1]) for block in blocks if "data: " in block]
    assert events[0]["type"] == "speech.audio.delta"
    assert [event["type"] for event in events].count("speech.audio.done") == 0
    assert (events[-1]["type"], events[-1]["error"]["code"]) == ("speech.audio.error", "synthesis_failed")


@pytest.mark.parametrize("stream_format", ["audio", "sse"])
def test_a_client_that_hangs_up_midway_ends_the_work(live, speaker, stream_format):
    with raw(live, body_of(speaker, stream_format=stream_format)) as connection:
        speaker.begin()
        assert connection.recv(1 << 20)
        assert not speaker.job.cancel_requested

    until(lambda: speaker.job.cancel_requested, timeout_s=WITHIN_S)


def listeners(worker: FakeWorker) -> int:
    return len([job for job in worker.stores.jobs.list().jobs if not job.status.is_terminal])


def read_whole(live: Live, body: dict[str, object]) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=WITHIN_S)
    try:
        connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()
