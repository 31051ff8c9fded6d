"""What gunicorn turns away before there is a request: still JSON, in the shape and language of who asked."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_service import free_port, until

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 8190
SECRET = "Bearer-of-a-secret"


@dataclass(frozen=True)
class Refusing:
    """An API without Redis: none of these requests gets so far."""

    port: int
    log: Path


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refusing]:
    folder, port = tmp_path_factory.mktemp("refusals"), free_port()
    for name in ("api.yaml", "model.yaml"):
        (folder / name).write_text("")
    environ = {
        **os.environ,
        "MEGATTS3_REDIS_URL": f"redis://127.0.0.1:{free_port()}",
        "MEGATTS3_HOST": "127.0.0.1",
        "MEGATTS3_PORT": str(port),
        "MEGATTS3_WORKERS": "1",
        "MEGATTS3_STORAGE_DIR": str(folder / "storage"),
        "MEGATTS3_LOG_DIR": str(folder / "logs"),
        "MEGATTS3_METRICS_PORT": "0",
        "MEGATTS3_API_CONFIG": str(folder / "api.yaml"),
        "MEGATTS3_MODEL_CONFIG": str(folder / "model.yaml"),
        "PYTHONWARNINGS": "error::UserWarning",
    }
    log = folder / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "configs" / "gunicorn.py")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=output, stderr=output)
    try:
        until(lambda: _is_up(port), timeout_s=150)
        yield Refusing(port, log)
    finally:
        process.terminate()
        process.wait(40)
    assert "MonkeyPatchWarning" not in log.read_text()


def _is_up(port: int) -> bool:
    try:
        return ask(port, b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 200
    except (OSError, ValueError):
        return False


def ask(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send it whole, then read to the end: status, headers by their lower-case names, body."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        received = b""
        while data := connection.recv(65536):
            received += data
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def request(target: str, *headers: str, method: str = "GET", version: str = "HTTP/1.1", body: str = "") -> bytes:
    return "\r\n".join([f"{method} {target} {version}", "Host: x", *headers, "", body]).encode()


REFUSED = {
    "a line over its limit": (request("/health?" + "a" * LIMIT_BYTES), 414, "address_too_long"),
    "a line without an end": (b"GET /" + b"a" * 3 * LIMIT_BYTES, 414, "address_too_long"),
    "a header over its limit": (request("/health", "X-Long: " + "a" * LIMIT_BYTES), 431, "headers_too_large"),
    "a hundred and two headers": (request("/health", *["X-A: b"] * 102), 431, "headers_too_large"),
    "headers without an end": (b"GET /health HTTP/1.1\r\n" + b"X-A: b\r\n" * 200_000, 431, "headers_too_large"),
    "a header without a colon": (request("/health", f"Authorization {SECRET}"), 400, "malformed_request"),
    "a header's name with a space": (request("/health", "X Y: 1"), 400, "malformed_request"),
    "no method": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "malformed_request"),
    "no version": (request("/health", version="HTTP/x"), 400, "malformed_request"),
    "a method in small letters": (request("/health", method="get it"), 400, "malformed_request"),
    "two lengths": (request("/health", "Content-Length: 1", "Content-Length: 2"), 400, "malformed_request"),
    "an expectation": (request("/health", "Expect: the worst"), 417, "malformed_request"),
    "an unknown coding": (request("/health", "Transfer-Encoding: br"), 501, "malformed_request"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_gunicorn_refuses_is_a_problem(refusing: Refusing, name: str):
    sent, status, code = REFUSED[name]

    found, headers, body = ask(refusing.port, sent)

    problem = json.loads(body)
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert (problem["status"], problem["error_code"], problem["type"]) == (status, code, f"/docs#{code}")
    assert problem["error"] == problem["detail"] != ""
    assert problem["request_id"] == headers["x-request-id"]
    assert (headers["connection"], int(headers["content-length"])) == ("close", len(body))


@pytest.mark.parametrize(
    "sent",
    [
        request("/v1/audio/speech?" + "a" * LIMIT_BYTES, method="POST"),
        request("/v1/audio/speech", "X-Long: " + "a" * LIMIT_BYTES, method="POST"),
        request("/v1/audio/speech", "X Y: 1", method="POST"),
    ],
)
def test_in_openais_dialect_where_it_is_spoken(refusing: Refusing, sent: bytes):
    _, headers, body = ask(refusing.port, sent)

    error = json.loads(body)["error"]
    assert headers["content-type"] == "application/json"
    assert (error["type"], set(error)) == ("invalid_request_error", {"message", "type", "param", "code"})


def test_in_the_callers_language_and_with_its_own_request_id(refusing: Refusing):
    told = ("Accept-Language: zh-CN,zh;q=0.9", "X-Request-ID: mine-7", "Origin: https://example.org")

    _, headers, body = ask(refusing.port, request("/health", *told, "X-Long: " + "a" * LIMIT_BYTES))

    problem = json.loads(body)
    assert problem["error"] == "请求头过多或过大。"
    assert problem["request_id"] == headers["x-request-id"] == "mine-7"
    assert headers["access-control-allow-origin"] == "*"


def test_a_client_that_still_sends_its_body_reads_the_answer(refusing: Refusing):
    sent = request("/api/v1/jobs", "X Y: 1", "Content-Length: 6000000", method="POST") + bytes(6_000_000)

    assert ask(refusing.port, sent)[0] == 400


@pytest.mark.parametrize("body", ["zz\r\nabc\r\n0\r\n\r\n", "5\r\nabcdefgh\r\n0\r\n\r\n"])
def test_a_body_in_broken_chunks(refusing: Refusing, body: str):
    headers = ("Transfer-Encoding: chunked", "Content-Type: application/json", "Connection: close")

    status, told, answer = ask(refusing.port, request("/api/v1/jobs", *headers, method="POST", body=body))

    assert (status, told["content-type"]) == (400, "application/problem+json")
    assert json.loads(answer)["error_code"] == "malformed_request"


def test_the_next_connection_is_served_and_nothing_sent_is_logged(refusing: Refusing):
    ask(refusing.port, REFUSED["a header without a colon"][0])

    assert _is_up(refusing.port)
    assert SECRET not in refusing.log.read_text()
