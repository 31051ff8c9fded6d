"""The doctor: all ok where all is well; where something is broken, that is its first line, with what helps."""

import contextlib
import http.server
import json
import socket
import socketserver
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from cli.bundle import redacted
from cli.doctor import in_order
from cli.findings import Finding, Verdict
from cli.main import main
from cli.model_checks import judge
from cli.ports import free_port
from contract.settings import Settings
from megatts3.audio.formats import encode
from megatts3.audio.waveform import Waveform

Doctor = Callable[..., list[str]]
SECRET = "a-key-nobody-may-see"


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run it for the API's part; the lines it prints.  Variables as the test sets them, nothing else."""
    config = tmp_path / "api.yaml"
    config.write_text("{}\n")
    model = tmp_path / "model.yaml"
    model.write_text("{}\n")
    for name in ("MEGATTS3_REDIS_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEGATTS3_STORAGE_DIR", str(tmp_path / "storage"))
    monkeypatch.setenv("MEGATTS3_LOG_DIR", str(tmp_path / "logs"))
    monkeypatch.setenv("MEGATTS3_HOST", "127.0.0.1")
    monkeypatch.setenv("MEGATTS3_PORT", str(free_port()))
    monkeypatch.setenv("MEGATTS3_METRICS_PORT", "0")

    def run(*options: str, yaml: str = "{}", expect: int = 1, **variables: str) -> list[str]:
        config.write_text(yaml)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        status = main(["doctor", "--only", "api", "--config", str(config), "--model-config", str(model), *options])
        lines = capsys.readouterr().out.splitlines()
        assert status == expect, lines
        return lines

    return run


def test_a_healthy_tree_is_all_ok(doctor: Doctor):
    lines = doctor(expect=0)

    assert {line[:4].strip() for line in lines} <= {"ok", "warn"}  # warn: the disk of the machine that tests
    assert [line for line in lines if line.startswith("warn") and "disk" not in line] == []
    assert {"python", "settings", "redis", "ports", "service"} <= {line.split()[1] for line in lines if line[0] != " "}


def test_a_value_out_of_range_is_named(doctor: Doctor):
    lines = doctor(yaml="api: {workers: 0}")

    assert lines[0].startswith("fail  settings")
    assert "api.workers" in lines[0]


def test_a_misspelt_key_is_named_with_its_neighbour(doctor: Doctor):
    lines = doctor(yaml="api: {workres: 4}")

    assert lines[0].startswith("fail  settings")
    assert "api.workers" in lines[0]
    assert lines[1].strip().startswith("→")


def test_a_redis_that_does_not_answer_is_named_without_its_password(doctor: Doctor):
    lines = doctor(REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{free_port()}")

    assert lines[0].startswith("fail  redis")
    assert "does not answer" in lines[0]
    assert SECRET not in "\n".join(lines)


@contextlib.contextmanager
def set_up(client: redis.Redis, **values: str) -> Iterator[None]:
    before = {name: client.config_get(name.replace("_", "-"))[name.replace("_", "-")] for name in values}
    for name, value in values.items():
        client.config_set(name.replace("_", "-"), value)
    try:
        yield
    finally:
        for name, value in before.items():
            client.config_set(name.replace("_", "-"), value)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as found:
        yield found


@pytest.mark.redis
def test_a_redis_that_may_evict_jobs_is_named(doctor: Doctor, client: redis.Redis, redis_url: str):
    with set_up(client, maxmemory="100mb", maxmemory_policy="allkeys-lru"):
        lines = doctor(REDIS_URL=redis_url)

    assert lines[0].startswith("fail  redis")
    assert "allkeys-lru" in lines[0]
    assert "noeviction" in lines[1]


@pytest.mark.redis
def test_a_redis_that_wants_a_password_is_named(doctor: Doctor, client: redis.Redis, redis_url: str):
    with set_up(client, requirepass=SECRET):
        client.execute_command("AUTH", SECRET)
        lines = doctor(REDIS_URL=redis_url)

    assert lines[0].startswith("fail  redis")
    assert "password" in lines[0]


@contextlib.contextmanager
def pretended_redis(answer: bytes) -> Iterator[str]:
    """Gives every command the same answer; its URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                for _ in range(2 * int(line[1:])):
                    self.rfile.readline()
                self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "said", "remedy"),
    [
        (b"-DENIED Redis is running in protected mode because it has no password.", "protected mode", "protected-mode"),
        (b"-ERR unknown command `HELLO`, with args beginning with: `3`,", "unknown command `HELLO`", "6.2 or newer"),
    ],
)
def test_a_redis_that_refuses_is_named_in_its_own_words(doctor: Doctor, answer: bytes, said: str, remedy: str):
    """One that lets in nobody from elsewhere, and one that is too old."""
    with pretended_redis(answer + b"\r\n") as url:
        lines = doctor(REDIS_URL=url)

    assert lines[0].startswith("fail  redis")
    assert said in lines[0]
    assert remedy in lines[1]


@pytest.mark.redis
def test_a_redis_without_an_append_only_file_is_a_warning(doctor: Doctor, client: redis.Redis, redis_url: str):
    with set_up(client, appendonly="no"):
        lines = doctor(REDIS_URL=redis_url, expect=0)

    assert any(line.startswith("warn  redis") and "append-only" in line for line in lines)


def test_a_port_somebody_else_has_is_named(doctor: Doctor):
    with contextlib.closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        lines = doctor(MEGATTS3_PORT=str(port))

    assert lines[0].startswith("fail  ports")
    assert str(port) in lines[0]


def test_a_folder_that_cannot_be_written_to_is_named(doctor: Doctor, tmp_path: Path):
    (tmp_path / "blocked").write_text("a file where a folder should be")

    lines = doctor(MEGATTS3_STORAGE_DIR=str(tmp_path / "blocked" / "storage"))

    assert lines[0].startswith("fail  disk")


def test_a_service_that_is_not_healthy_is_named_with_its_reason(doctor: Doctor):
    class Unhealthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "unhealthy", "model_loaded": False, "reason": "loading"}).encode()
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unhealthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        lines = doctor(MEGATTS3_PORT=str(server.server_port))
        server.shutdown()

    assert lines[0].startswith("fail  service")
    assert "loading" in lines[0]


# --- what the worker's self-test saw


ABLE = {"encoder": True, "pronunciation": "dictionary"}


def healthy() -> dict[str, object]:
    t = np.arange(4 * 24_000) / 24_000
    samples = 0.2 * np.sin(2 * np.pi * 180 * t) * (0.02 + np.abs(np.sin(2 * np.pi * 2 * t)))
    return {
        "torch": {"version": "2.11.0", "cuda": "13.0", "is_available": False},
        "device": {"device": "cpu", "precision": "fp32", "wanted": "auto"},
        "codecs": {"readable": ["wav", "mp3", "flac", "m4a", "ogg"], "writable": ["wav"]},
        "checkpoint": {"path": "checkpoints/mini", "revision": "abc", "verified": 9} | ABLE,
        "synthesis": {"seconds": 4.0, "audio_s": 4.0},
        "spoken": encode(Waveform(samples.astype(np.float32), 24_000), "wav"),
    }


def first(changes: dict[str, object], settings: Settings | None = None) -> Finding:
    facts = healthy() | changes
    spoken = facts.pop("spoken")
    return in_order(list(judge(facts, settings or Settings(), spoken)))[0]  # type: ignore[arg-type]


def test_a_worker_that_speaks_is_all_ok():
    assert first({}).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("encoder", "reads", "said"),
    [(True, "network", "encodes voices, reads text by network"), (False, "dictionary", "voices need their latents")],
)
def test_it_says_what_the_weights_can_do(encoder, reads, said):
    weights = {"path": "mini", "revision": "abc", "verified": 9, "encoder": encoder, "pronunciation": reads}
    facts = healthy() | {"checkpoint": weights}
    spoken = facts.pop("spoken")
    (found,) = (f for f in judge(facts, Settings(), spoken) if f.subject == "checkpoint")  # type: ignore[arg-type]

    assert said in found.seen


GPU = {"version": "2.11.0", "cuda": "13.0", "is_available": True, "gpus": ["Old"]}


@pytest.mark.parametrize(
    ("changes", "subject", "word"),
    [
        ({"torch": {"error": "ImportError: libcudart"}}, "torch", "libcudart"),
        ({"torch": GPU | {"archs": ["sm_61"], "built_for": ["sm_75", "sm_80", "sm_120"]}}, "torch", "sm_61"),
        ({"device": {"error": "device 'cuda:3' cannot be used"}}, "torch", "cuda:3"),
        ({"codecs": {"error": "OSError: sndfile"}}, "codecs", "sndfile"),
        ({"checkpoint": {"error": "CheckpointError: model.safetensors is missing"}}, "checkpoint", "missing"),
        ({"synthesis": {"error": "RuntimeError: out of memory"}}, "synthesis", "out of memory"),
        ({"spoken": None}, "synthesis", "no audio"),
    ],
)
def test_what_is_broken_in_a_worker_comes_first(changes: dict[str, object], subject: str, word: str):
    found = first(changes)

    assert (found.verdict, found.subject) == (Verdict.FAIL, subject)
    assert word in found.seen
    assert found.remedy


@pytest.mark.parametrize("arch", ["sm_80", "sm_86", "sm_120"])
def test_a_card_of_a_generation_torch_was_built_for_is_ok(arch: str):
    built = {"archs": [arch], "built_for": ["sm_75", "sm_80", "sm_90", "sm_120"]}

    assert first({"torch": GPU | built}).verdict is Verdict.OK


def test_noise_instead_of_speech_is_a_warning():
    noise = 0.1 * np.random.default_rng(1).standard_normal(4 * 24_000)
    found = first({"spoken": encode(Waveform(noise.astype(np.float32), 24_000), "wav")})

    assert (found.verdict, found.subject) == (Verdict.WARN, "synthesis")


# --- the bundle


def test_the_bundle_holds_findings_settings_and_logs_and_no_secret(doctor: Doctor, tmp_path: Path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "megatts3.log").write_text(f"a line with {SECRET}\nredis://user:pw1234@host down\n")

    doctor("--bundle", str(tmp_path / "support.tar.gz"), expect=0, MEGATTS3_API_KEYS=SECRET)

    with tarfile.open(tmp_path / "support.tar.gz") as archive:
        texts = {m.name: archive.extractfile(m).read().decode() for m in archive.getmembers()}
    assert {f"megatts3-support/{n}" for n in ("doctor.txt", "settings.json", "packages.txt")} <= texts.keys()
    assert "(hidden)" in texts["megatts3-support/logs/megatts3.log"]
    everything = "\n".join(texts.values())
    assert SECRET not in everything
    assert "pw1234" not in everything
    settings = json.loads(texts["megatts3-support/settings.json"])
    assert settings["api.keys"]["value"] == "(hidden)"


def test_a_password_in_any_url_is_hidden():
    assert redacted("redis://u:p@h:1 http://x/", ()) == "redis://(hidden)@h:1 http://x/"
