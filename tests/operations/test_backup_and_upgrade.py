"""The scripts that keep, bring back and renew an installation, run on small ones of their own."""

import fcntl
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]


def run(*argv: str, cwd: Path, ok: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHON": sys.executable, **variables}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done


def git(*argv: str, cwd: Path) -> str:
    return run(*GIT, *argv, cwd=cwd).stdout.strip()


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A tree with the scripts, settings, voices and records."""
    home = tmp_path / "installation"
    (home / "scripts").mkdir(parents=True)
    for script in ("backup.sh", "upgrade.sh"):
        shutil.copy(ROOT / "scripts" / script, home / "scripts" / script)
    for name, text in {
        "configs/api_config.yaml": "api: {port: 9000}\n",
        "storage/voices/anna/v1/clip": "a recording",
        "storage/redis/appendonly.aof": "records",
        "storage/jobs/job_1/audio.wav": "made again by itself",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return home


def test_what_was_backed_up_comes_back_and_what_is_there_is_kept_aside(installation: Path):
    archive = run("scripts/backup.sh", cwd=installation).stdout.strip()
    (installation / "storage/voices/anna/v1/clip").write_text("spoilt")
    shutil.rmtree(installation / "storage/redis")

    said = run("scripts/backup.sh", "--restore", archive, cwd=installation).stdout

    assert (installation / "storage/voices/anna/v1/clip").read_text() == "a recording"
    assert (installation / "storage/redis/appendonly.aof").read_text() == "records"
    aside = installation / said.strip().rpartition(" ")[2]
    assert (aside / "voices/anna/v1/clip").read_text() == "spoilt"
    assert (installation / archive).stat().st_mode & 0o077 == 0


def test_audio_of_jobs_is_not_in_a_backup(installation: Path):
    archive = run("scripts/backup.sh", "elsewhere", cwd=installation).stdout.strip()

    names = run("tar", "-tzf", archive, cwd=installation).stdout
    assert "voices/anna/v1/clip" in names
    assert "jobs" not in names


def test_nothing_is_restored_under_a_running_service(installation: Path):
    archive = run("scripts/backup.sh", cwd=installation).stdout.strip()
    with (installation / "storage/megatts3.pid").open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)

        refused = run("scripts/backup.sh", "--restore", archive, cwd=installation, ok=False)

    assert "stop it first" in refused.stderr


def test_a_damaged_archive_is_refused_before_anything_is_touched(installation: Path):
    archive = installation / run("scripts/backup.sh", cwd=installation).stdout.strip()
    archive.write_bytes(archive.read_bytes()[:-20])

    run("scripts/backup.sh", "--restore", str(archive), cwd=installation, ok=False)

    assert (installation / "storage/voices/anna/v1/clip").read_text() == "a recording"


@pytest.fixture
def url(installation: Path) -> Iterator[str]:
    """A service that is healthy while the installation's VERSION says a good one."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if "good" in (installation / "VERSION").read_text() else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def origin(installation: Path, tmp_path: Path) -> Path:
    """Where new versions come from; the installation is a clone of it."""
    (installation / "VERSION").write_text("good 1\n")
    (installation / "Makefile").write_text("setup:\n\t@echo built >> built.txt\n")
    (installation / ".gitignore").write_text("storage/\nbackups/\nconfigs.backup.*/\nbuilt.txt\nlife.txt\n")
    git("init", "-q", cwd=installation)
    git("add", "-A", cwd=installation)
    git("commit", "-qm", "first", cwd=installation)
    bare = tmp_path / "origin.git"
    git("clone", "-q", "--bare", str(installation), str(bare), cwd=tmp_path)
    git("remote", "add", "origin", str(bare), cwd=installation)
    git("fetch", "-q", "origin", cwd=installation)
    git("branch", "-q", "-u", "origin/main", cwd=installation)
    return bare


def release(origin: Path, folder: Path, version: str) -> None:
    git("clone", "-q", str(origin), str(folder), cwd=folder.parent)
    (folder / "VERSION").write_text(version)
    git("commit", "-qam", version, cwd=folder)
    git("push", "-q", "origin", "main", cwd=folder)


def upgrade(installation: Path, url: str, *, ok: bool = True) -> subprocess.CompletedProcess[str]:
    life = {"STOP": "echo stop >> life.txt", "START": "echo start >> life.txt"}
    settings = {"MODE": "local", "MEGATTS3_URL": url, "WAIT_S": "2"}
    return run("scripts/upgrade.sh", cwd=installation, ok=ok, **life, **settings)


def test_an_upgrade_keeps_settings_backs_up_and_ends_with_a_healthy_service(installation, url, origin, tmp_path):
    release(origin, tmp_path / "work", "good 2\n")

    upgrade(installation, url)

    assert (installation / "VERSION").read_text() == "good 2\n"
    assert (installation / "life.txt").read_text().split() == ["stop", "start"]
    assert (installation / "built.txt").read_text().split() == ["built"]
    (kept,) = installation.glob("configs.backup.*")
    assert (kept / "api_config.yaml").exists()
    assert len(list((installation / "backups").glob("*.tar.gz"))) == 1


def test_a_version_that_does_not_get_healthy_is_taken_back(installation, url, origin, tmp_path):
    release(origin, tmp_path / "work", "bad 2\n")

    done = upgrade(installation, url, ok=False)

    assert (installation / "VERSION").read_text() == "good 1\n"
    assert "the old version runs again" in done.stderr
    assert (installation / "life.txt").read_text().split() == ["stop", "start", "stop", "start"]


def test_nothing_is_stopped_where_there_is_nothing_new_or_somebody_changed_the_code(
    installation, url, origin, tmp_path
):
    assert "already at" in upgrade(installation, url).stdout

    release(origin, tmp_path / "work", "good 2\n")
    (installation / "Makefile").write_text("setup:\n")
    upgrade(installation, url, ok=False)

    assert not (installation / "life.txt").exists()
