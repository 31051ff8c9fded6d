"""`megatts3 checkpoints download` against a stand-in hub: whole, resumed, refused; never half a checkpoint called whole."""

import contextlib
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

from megatts3.checkpoint import load_networks, verify_files
from megatts3.checkpoint.download import download
from megatts3.errors import CheckpointError
from tests.checkpoint.forms import make_checkpoint
from tests.checkpoint.hub import COMMIT, Hub, Repository

ROOT = Path(__file__).parents[2]
OFFICIAL = "ByteDance/MegaTTS3"
CHUNK = 1024
BIG = "diffusion_transformer/model_only_last.ckpt"


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The files of a reduced release, decoder only, with things beside it that nobody needs."""
    folder = make_checkpoint(tmp_path_factory.mktemp("made") / "release", "release-zip", encoder=False)
    (folder / "manifest.yaml").unlink()
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files | {"README.md": b"# a card", "demo/clip.wav": b"RIFF"}


@pytest.fixture
def hub(release):
    with Hub({OFFICIAL: Repository(dict(release))}) as running:
        yield running


@dataclass
class Done:
    """How a download ended; the names are those of an ended process."""

    returncode: int = 0
    stdout: str = ""
    stderr: str = ""


@pytest.fixture
def fetch(hub, tmp_path, monkeypatch):
    """`fetch(…)` → how it ended; its folder is `tmp_path / "official"`."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)  # what is cut within a chunk is lost
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub library's pauses before it tries again

    def run(free_bytes=10**12, **options):
        done = Done()
        say = lambda line: setattr(done, "stdout", f"{done.stdout}{line}\n")  # noqa: E731
        try:
            download(tmp_path / "official", endpoint=hub.url, say=say, free_bytes=lambda _: free_bytes, **options)
        except CheckpointError as error:
            done.returncode, done.stderr = 1, str(error)
        return done

    return run


def on_a_terminal(command, environ):
    """Run it as a person would see it: errors, and so the progress bar, go to a terminal."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 100))
    seen = []

    def read():
        with contextlib.suppress(OSError):  # its other end is closed
            while chunk := os.read(terminal, 65_536):
                seen.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=end, timeout=170, check=False
        )
    finally:
        os.close(end)
        reader.join()
        os.close(terminal)
    errors = b"".join(seen).decode(errors="replace")
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), errors)


def test_a_fresh_download_is_whole_checked_and_says_where_it_is_from(hub, tmp_path):
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_ENDPOINT": hub.url}
    command = [sys.executable, "-m", "cli.main", "checkpoints", "download", str(tmp_path / "official")]
    done = on_a_terminal(command, environ)

    assert done.returncode == 0, done.stderr
    folder = tmp_path / "official"
    verify_files(folder)
    assert not load_networks(folder).capabilities.encoder
    manifest = yaml.safe_load((folder / "manifest.yaml").read_text())
    assert manifest["licence"] == "apache-2.0"
    assert manifest["source"] == f"{OFFICIAL}@{COMMIT}"
    assert "licence, as its publisher states it: apache-2.0" in done.stdout
    assert COMMIT in done.stdout
    assert "sha256" in done.stdout
    assert "%" in done.stderr  # the progress bar
    assert not (folder / "README.md").exists()
    assert not (folder / "demo").exists()
    assert not list(folder.rglob(".*"))
    assert not list(folder.rglob("*.part"))
    wanted = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    assert all(f"/resolve/{COMMIT}/" in path for path in wanted)


def test_a_download_cut_at_half_goes_on_from_there_at_the_same_commit(fetch, hub, release, tmp_path):
    half = len(release[BIG]) // 2 // CHUNK * CHUNK
    hub.cut[BIG] = half
    cut = fetch()

    assert cut.returncode == 1
    assert "goes on where it stopped" in cut.stderr
    assert not (tmp_path / "official" / "manifest.yaml").exists()

    hub.cut.clear()
    hub.asked.clear()
    hub.repositories[OFFICIAL].main = "another commit"
    done = fetch()

    assert done.returncode == 0, done.stderr
    assert hub.ranges_of(BIG) == [f"bytes={half}-"]
    assert f"{OFFICIAL}@{COMMIT}" in (tmp_path / "official" / "manifest.yaml").read_text()
    verify_files(tmp_path / "official")


def test_a_file_of_the_wrong_content_is_removed_and_named(fetch, hub, release, tmp_path):
    repository = hub.repositories[OFFICIAL]
    data = bytearray(release[BIG])
    data[-1] ^= 1
    repository.served[BIG] = bytes(data)
    wrong = fetch()

    assert wrong.returncode == 1
    assert BIG in wrong.stderr
    assert "expected sha256" in wrong.stderr
    assert not (tmp_path / "official" / BIG).exists()
    assert not (tmp_path / "official" / "manifest.yaml").exists()

    repository.served.clear()
    assert fetch().returncode == 0


def test_a_small_file_of_the_wrong_content_is_found_by_gits_own_hash(fetch, hub, release):
    name = "wavvae/config.yaml"
    hub.repositories[OFFICIAL].served[name] = release[name][:-1] + b"#"
    wrong = fetch()
    assert wrong.returncode == 1
    assert name in wrong.stderr
    assert "git blob" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"repository": "nobody/nothing"}, "none of that name (404)"),
        ({"revision": "v9"}, "check --revision"),
        ({"encoder_from": "nobody/nothing"}, "none of that name (404)"),
    ],
)
def test_what_is_not_there_is_named(fetch, arguments, words):
    missing = fetch(**arguments)
    assert missing.returncode == 1
    assert words in missing.stderr


def test_a_listed_file_that_is_gone_is_named(fetch, hub):
    hub.repositories[OFFICIAL].missing.add(BIG)
    gone = fetch()
    assert gone.returncode == 1
    assert BIG in gone.stderr
    assert "404" in gone.stderr


def test_a_full_disk_is_seen_before_anything_is_fetched(fetch, hub):
    full = fetch(free_bytes=1_000)
    assert full.returncode == 1
    assert "make room" in full.stderr
    assert not hub.ranges_of(BIG)


def test_a_hub_that_does_not_answer_is_said_to_be_away(fetch, hub):
    hub.url = "http://127.0.0.1:9"  # nobody listens at discard
    away = fetch()
    assert away.returncode == 1
    assert "run the command again" in away.stderr


def test_the_encoder_of_a_third_party_comes_only_when_asked_for_and_says_whose_it_is(fetch, hub, tmp_path):
    whole = make_checkpoint(tmp_path / "made", "release-zip") / "wavvae" / "model_only_last.ckpt"
    hub.repositories["someone/encoder"] = Repository(
        {"wavvae/model_only_last.ckpt": whole.read_bytes(), "other.bin": b"x"}, licence=None
    )
    done = fetch(encoder_from="someone/encoder")

    assert done.returncode == 0, done.stderr
    assert "THIRD PARTY" in done.stdout
    assert "someone/encoder" in done.stdout
    assert "none stated" in done.stdout
    manifest = yaml.safe_load((tmp_path / "official" / "manifest.yaml").read_text())
    assert "someone/encoder" in manifest["third_party"]["wavvae/model_only_last.ckpt"]
    assert load_networks(tmp_path / "official").capabilities.encoder
