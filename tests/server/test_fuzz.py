"""A small helping of the fuzz run (`make fuzz` is the whole), and what it once found."""

import subprocess
import sys
from pathlib import Path

import pytest
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
