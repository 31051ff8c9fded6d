"""A worker that cannot start says why in one line, for the person who must change something."""

import os
import subprocess
import sys
from pathlib import Path

from worker.celery_app import EX_CONFIG

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from celery.signals import worker_init
from redis.exceptions import ResponseError
from contract.settings import load_settings
from worker.celery_app import serve

def refused(*_, **__):
    raise ResponseError("unknown command 'ZMSCORE'")

serve(load_settings(), load=refused)
worker_init.send(type("Consumer", (), {"hostname": "w0@here"})())
"""


def test_a_redis_that_refuses_a_command_is_told_without_a_traceback(tmp_path):
    folders = {"MEGATTS3_STORAGE_DIR": str(tmp_path / "storage"), "MEGATTS3_LOG_DIR": str(tmp_path / "logs")}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **folders},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ended.returncode == EX_CONFIG
    (line,) = [line for line in ended.stderr.splitlines() if "worker_cannot_start" in line]
    assert "unknown command 'ZMSCORE'" in line
    assert "Traceback" not in ended.stderr
