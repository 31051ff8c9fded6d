"""A small helping of the fuzz run (`make fuzz` is the whole), and what it once found."""

import subprocess
import sys
from pathlib import Path

import pytest
from api_service import wav_bytes
from flask.testing import FlaskClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.redis
def test_a_few_hundred_requests_that_no_one_meant_leave_the_api_well():
    command = [sys.executable, str(ROOT / "scripts" / "fuzz.py"), "--requests", "400", "--seed", "3"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("job_id", ["%00", "%E4%BD%A0%E5%A5%BD", "%F0%9F%99%82", "a%0d%0ab"])
@pytest.mark.parametrize("tail", ["", "/audio"])
def test_an_id_that_can_be_no_header_is_not_found_and_in_no_header(client: FlaskClient, job_id: str, tail: str):
    answer = client.get(f"/api/v1/jobs/{job_id}{tail}")

    assert (answer.status_code, answer.json["error_code"]) == (404, "job_not_found")
    assert "X-Job-ID" not in answer.headers


@pytest.mark.parametrize("route", ["/api/v1/voices/upload", "/api/v1/tts/synthesize"])
@pytest.mark.parametrize("line", ["Content-Disposition: form-data", 'Content-Disposition: form-data; filename="a"'])
def test_a_part_without_a_name_breaks_nothing(client: FlaskClient, route: str, line: str):
    named = [("text", b"hi"), ("voice_id", b"default" if "tts" in route else b"v")]
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value for name, value in named]
    parts.append(b'Content-Disposition: form-data; name="voice_file"; filename="a"\r\n\r\n' + wav_bytes())
    parts.append(f"{line}\r\n\r\nnobody".encode())
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"

    answer = client.post(route, data=body, content_type="multipart/form-data; boundary=b")

    assert answer.status_code in {200, 201}
    assert b"nobody" not in answer.data
