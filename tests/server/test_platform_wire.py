"""The wire as the known clients really use it, byte by byte, over sockets against gunicorn (CONTRACT of the clients).

Parts without a type or with a wrong one, names percent-encoded or raw, numbers as a database's `str()`, latents that
are none: all of it either works or is refused at once, with a sentence, in JSON, without a redirect.
"""

import dataclasses
import http.client
import io
import json
import pickle
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
import soundfile
from api_service import WORKER, FakeWorker, npy_bytes, until, wav_bytes
from test_api_gunicorn import Live, live

from contract import blob_keys
from contract.schemas import Job, JobResult, JobStatus

__all__ = ["live"]  # the fixture: gunicorn with two processes, Redis, a stand-in for the worker
pytestmark = pytest.mark.redis

SYNTHESIZE, FILE = "/api/v1/tts/synthesize", "/api/v1/tts/synthesize_file"
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a form, its headers exactly as given."""

    name: str
    data: bytes
    filename: str | None = None
    content_type: str | None = None

    def encoded(self) -> bytes:
        line = f'Content-Disposition: form-data; name="{self.name}"'
        line += "" if self.filename is None else f'; filename="{self.filename}"'
        kind = "" if self.content_type is None else f"Content-Type: {self.content_type}\r\n"
        return f"--{BOUNDARY}\r\n{line}\r\n{kind}\r\n".encode() + self.data + b"\r\n"


def text(name: str, value: str, *, content_type: str | None = "text/plain; charset=utf-8") -> Part:
    return Part(name, value.encode(), content_type=content_type)


def clip(data: bytes | None = None, *, filename: str = "reference.wav", content_type: str | None = "audio/wav") -> Part:
    return Part("voice_file", wav_bytes() if data is None else data, filename, content_type)


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


def call(live: Live, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """One request on a connection of its own; whatever comes is taken as it is, redirects too."""
    connection = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=120)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def post(live: Live, *parts: Part, path: str = FILE) -> Answer:
    body = b"".join(part.encoded() for part in parts) + f"--{BOUNDARY}--\r\n".encode()
    return call(live, "POST", path, body, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")


def assert_audio(answer: Answer) -> None:
    """Exactly 200 with the audio: the platform saves the body of any 200 as a `.wav`."""
    assert answer.status == 200, answer.body[:300]
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.body.startswith(b"RIFF")


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["error_code"] == code
    assert answer.json["error"] == answer.json["detail"]
    assert answer.json["request_id"] == answer.headers["x-request-id"]


NUMBERS = {"time_step": "32.0", "infer_timestep": "32", "p_w": "1.6", "t_w": "2.5", "speed": "1", "seed": "None"}


def numbers(**given: str) -> list[Part]:
    return [text(name, value) for name, value in given.items()]


# --- parts, their order, names and types


def test_the_platforms_form_in_either_order(live: Live):
    parts = [text("text", "你好，世界。"), clip(), *numbers(time_step="20", p_w="1", t_w="0.0", seed="None")]

    assert_audio(post(live, *parts))
    assert_audio(post(live, *reversed(parts)))


@pytest.mark.parametrize("content_type", [None, "audio/wav", "application/octet-stream", "text/plain", "nonsense"])
def test_the_type_of_a_part_is_never_believed(live: Live, content_type: str | None):
    assert_audio(post(live, text("text", "类型", content_type=None), clip(content_type=content_type)))


@pytest.mark.parametrize(
    "filename",
    [
        quote("参考声音.wav"),
        "参考声音.wav",
        "../../etc/passwd",
        "C:\\voice.wav",
        "a" * 300 + ".wav",
        "no-extension",
        "x.txt",
    ],
)
def test_the_name_of_a_file_is_never_used(live: Live, filename: str):
    assert_audio(post(live, text("text", "文件名"), clip(filename=filename)))


def test_numbers_come_as_a_database_prints_them(live: Live):
    assert_audio(post(live, text("text", "数字"), clip(), *numbers(**NUMBERS)))


@pytest.mark.parametrize(("name", "value"), [("time_step", "32.5"), ("p_w", "viel"), ("speed", "9"), ("t_w", "inf")])
def test_a_number_that_is_none_is_422_and_named(live: Live, name: str, value: str):
    answer = post(live, text("text", "数字"), clip(), text(name, value))

    assert_problem(answer, 422, "invalid_value")
    assert answer.json["errors"][0]["field"] == name


@pytest.mark.parametrize("audio_format", ["MP3", "FLAC", "OGG"])
def test_other_audio_under_the_name_of_wav(live: Live, audio_format: str):
    buffer = io.BytesIO()
    tone = 0.2 * np.sin(np.arange(24_000 * 2) * 0.05)
    soundfile.write(buffer, tone, 24_000, format=audio_format)

    assert_audio(post(live, text("text", "格式"), clip(buffer.getvalue())))


def test_a_reference_of_a_minute(live: Live):
    assert_audio(post(live, text("text", "一分钟"), clip(wav_bytes(60.0, rate=8000))))


def test_text_under_the_name_of_audio_is_415(live: Live):
    assert_problem(post(live, text("text", "a"), clip(b"this is no audio at all")), 415, "audio_unreadable")


# --- latents


def with_latent(live: Live, data: bytes, *, name: str = "latent_file") -> Answer:
    return post(live, text("text", "潜变量"), clip(), Part(name, data, "voice.npy", "application/octet-stream"))


@pytest.mark.parametrize("name", ["voice_latent", "latent_file"])
def test_a_good_latent_is_taken(live: Live, name: str):
    assert_audio(with_latent(live, npy_bytes(), name=name))


def pickled_npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


CORRUPT = {
    "no npy": b"PK\x03\x04 a zip, say",
    "pickled": pickled_npy(),
    "bare pickle": pickle.dumps([1, 2, 3]),
    "wrong shape": npy_bytes((12, 31)),
    "not finite": npy_bytes((12, 32), value=float("nan")),
    "cut short": npy_bytes((12, 32))[:-7],
    "promises more than it has": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"{",
}


@pytest.mark.parametrize("kind", CORRUPT)
def test_a_corrupt_latent_is_refused_at_once(live: Live, kind: str):
    assert_problem(with_latent(live, CORRUPT[kind]), 422, "latent_invalid")


@pytest.fixture
def without_encoder(live: Live) -> Iterator[None]:
    """The installed weights cannot encode; every process of the API has seen it."""
    workers = live.worker.stores.workers

    def health() -> bool:
        return all(call(live, "GET", "/health").json["encoder_available"] for _ in range(4))

    workers.heartbeat(dataclasses.replace(WORKER, encoder_available=False), ttl_s=600)
    until(lambda: not any(call(live, "GET", "/health").json["encoder_available"] for _ in range(6)), timeout_s=30)
    time.sleep(1.1)  # a look of a second ago may still be the newest of a process
    yield
    workers.heartbeat(WORKER, ttl_s=600)
    until(health, timeout_s=30)


def test_without_encoder_a_missing_latent_is_a_plain_sentence(live: Live, without_encoder: None):
    answer = post(live, text("text", "缺少"), clip())
    in_chinese = call(
        live,
        "POST",
        FILE,
        b"".join(p.encoded() for p in (text("text", "缺少"), clip())) + f"--{BOUNDARY}--\r\n".encode(),
        Content_Type=f"multipart/form-data; boundary={BOUNDARY}",
        Accept_Language="zh-CN",
    )

    assert_problem(answer, 422, "latent_required")
    assert "voice_latent" in in_chinese.json["error"]
    assert "没有编码器" in in_chinese.json["error"]
    assert_audio(with_latent(live, npy_bytes()))


# --- many at once


@pytest.fixture
def telling(live: Live) -> Iterator[FakeWorker]:
    """A worker whose audio says which text it is of."""
    worker = live.worker

    def result(job: Job) -> JobResult:
        data = wav_bytes(0.1) + job.request.text.encode()
        blob = blob_keys.job_audio(job.id, job.request.response_format)
        worker.stores.blobs.put(blob, data)
        return JobResult(blob, job.request.response_format, 0.1, job.request.sample_rate, len(data), synthesis_s=0.1)

    worker._result = result  # type: ignore[method-assign]
    yield worker
    del worker._result


def test_the_same_request_three_times_in_flight_is_computed_once(live: Live, telling: FakeWorker):
    telling.hold = True
    parts = [text("text", "重复的请求"), clip(), *numbers(**NUMBERS)]
    before = len(telling.spoken)
    with ThreadPoolExecutor(3) as pool:
        pending = [pool.submit(post, live, *parts) for _ in range(3)]
        until(lambda: len(telling.stores.jobs.list(status=JobStatus.QUEUED).jobs) == 3, timeout_s=60)
        telling.hold = False
        answers = [each.result(90) for each in pending]

    assert {answer.status for answer in answers} == {200}
    assert {answer.body for answer in answers} == {wav_bytes(0.1) + "重复的请求".encode()}
    assert len(telling.spoken) == before + 1


def test_ten_in_parallel_each_get_their_own_audio(live: Live, telling: FakeWorker):
    texts = [f"第{n}章的内容" for n in range(10)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda said: post(live, text("text", said), clip(), *numbers(**NUMBERS)), texts))

    assert {answer.status for answer in answers} == {200}
    assert [answer.body for answer in answers] == [wav_bytes(0.1) + said.encode() for said in texts]


# --- the rest of HTTP


def test_a_file_of_51_megabytes_is_413_and_the_client_can_read_it(live: Live):
    assert_problem(post(live, text("text", "大"), clip(wav_bytes() + bytes(51_000_000))), 413, "upload_too_large")


@pytest.mark.parametrize("path", [f"{FILE}/", f"/{FILE}", f"{FILE}//"])
def test_a_slash_too_many_is_served_and_not_redirected(live: Live, path: str):
    assert_audio(post(live, text("text", "斜杠"), clip(), path=path))


@pytest.mark.parametrize("path", ["/health/", "//health", "/api/v1/voices/"])
def test_nothing_ever_redirects(live: Live, path: str):
    assert call(live, "GET", path).status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_path_is_a_problem_in_json(live: Live, method: str):
    assert_problem(call(live, method, "/api/v2/tts?x=%ff"), 404, "not_found")


def test_a_wrong_method_names_the_right_ones(live: Live):
    answer = call(live, "GET", SYNTHESIZE)

    assert_problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_options_answers_with_what_is_allowed_and_costs_nothing(live: Live):
    preflight = call(
        live,
        "OPTIONS",
        SYNTHESIZE,
        Origin="http://app.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,x-api-key",
    )

    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "content-type" in preflight.headers["access-control-allow-headers"].lower()
    assert "POST" in preflight.headers["allow"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"text": "\\ud800"}', b'{"text": NaN}'])
def test_a_body_that_is_no_request_is_refused_with_a_reason(live: Live, body: bytes):
    answer = call(live, "POST", SYNTHESIZE, body, Content_Type="application/json")

    assert answer.status in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_form_that_breaks_off_is_refused(live: Live):
    whole = b"".join(part.encoded() for part in (text("text", "断"), clip()))
    answer = call(live, "POST", FILE, whole[:-200], Content_Type=f"multipart/form-data; boundary={BOUNDARY}")

    assert 400 <= answer.status < 500
