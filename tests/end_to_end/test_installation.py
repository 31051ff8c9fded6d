"""The handbook's commands that start, look through or bring back a whole installation, on mini: `make handbook`."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_service import ROOT, Service, clip, eventually, running

from tests.handbook import commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(590)]
MINI = ROOT / "checkpoints/mini"
COMMANDS = commands("docs/operations.md")
QUIET = {"MEGATTS3_METRICS_PORT": "0", "MEGATTS3_MONITORING_CANARY_INTERVAL": "0"}
WITHIN_S = 200.0


def handbook(beginning: str) -> list[str]:
    """The words of the commands that begin so; the interpreter's folder put in for the document's `.venv/bin`."""
    found = [command for command in COMMANDS if command.startswith(beginning)]
    assert found, beginning
    return [command.replace(".venv/bin", str(Path(sys.executable).parent)) for command in found]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installation")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/backup.sh", folder / "scripts")
    return folder


@pytest.fixture(scope="module")
def service(installation: Path) -> Iterator[Service]:
    with running(installation, MINI, [], QUIET) as started:
        yield started


def run(command: str, *, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        ["sh", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.parametrize("command", handbook(".venv/bin/megatts3 doctor"))
def test_the_doctor_finds_nothing_wrong_in_a_healthy_service(command: str, service: Service, tmp_path: Path):
    named = {name: value for name, value in service.environment.items() if "MEGATTS3" in name}
    named |= {"MEGATTS3_PORT": service.url.rpartition(":")[2]}

    done = run(f"cd {ROOT} && {command.replace('support.tar.gz', str(tmp_path / 'support.tar.gz'))}", cwd=ROOT, **named)

    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert done.returncode == 0, done.stdout
    wrong = [line for line in lines if not line.startswith(("ok", "bundle"))]
    assert [line for line in wrong if not re.match(r"warn  (disk|codecs) ", line)] == []  # of this machine
    assert any("running, healthy" in line for line in lines)
    if "--only" not in command:
        assert any(re.match(r"ok    checkpoint .*whole", line) for line in lines)
    if "--bundle" in command:
        with tarfile.open(tmp_path / "support.tar.gz") as archive:
            assert any(name.endswith("doctor.txt") for name in archive.getnames())
    spoke = any(re.match(r"ok    synthesis ", line) for line in lines)
    assert spoke == (not {"--no-synthesis", "--only"} & set(shlex.split(command)))


def test_a_further_worker_started_by_hand_as_written_takes_part(service: Service):
    (command,) = handbook(".venv/bin/celery -A worker.app worker")
    environment = {**service.environment, "MEGATTS3_REDIS_URL": str(service.facts["redis_url"])}
    with (service.log.parent / "further.log").open("wb") as log:
        worker = subprocess.Popen(shlex.split(command), cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: service.get("/health").json()["workers"]["ready"] == 2, WITHIN_S)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    assert worker.returncode == 0
    eventually(lambda: service.get("/health").json()["workers"]["ready"] == 1, WITHIN_S)


def test_voices_and_records_come_back_from_a_backup_of_the_running_service(installation: Path, service: Service):
    files = {"voice_file": ("me.wav", clip(180.0, seconds=6.0)), "voice_id": (None, "kept"), "name": (None, "Kept")}
    assert service.post("/api/v1/voices/upload", files=files).status_code == 201
    eventually(lambda: service.get("/api/v1/voices/kept").json()["status"] == "ready", WITHIN_S)
    backup, restore = [shlex.split(command) for command in handbook("scripts/backup.sh")]

    archive = run(shlex.join(backup), cwd=installation).stdout.strip()
    service.launcher.send_signal(signal.SIGTERM)
    assert service.launcher.wait(90) == 0
    shutil.rmtree(installation / "storage")
    done = run(shlex.join([*restore[:-1], archive]), cwd=installation)
    assert done.returncode == 0, done.stderr

    with running(installation, MINI, [], QUIET) as again:
        voice = again.get("/api/v1/voices/kept").json()
        assert (voice["name"], voice["status"]) == ("Kept", "ready")
        spoken = again.synthesize("Here I am again.", voice_id="kept")
        assert spoken.status_code == 200, json.dumps(spoken.json())
        assert again.get("/api/v1/voices/kept/audio").status_code == 200
