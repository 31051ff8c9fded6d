"""Every command of docs/operations.md is known here: run by a test, or checked against the files that it names.

`LIVE` lines are run on a running service by tests/end_to_end/test_observed_service.py; what starts or changes a whole
installation has tests of its own, which are named here.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from contract.api_keys import digest_of
from contract.settings import load_settings
from tests.handbook import LIVE, ROOT, commands

HANDBOOK = "docs/operations.md"
COMMANDS = commands(HANDBOOK)
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

# What a test elsewhere runs as it stands: beginning of the command → that test, and a word of it.
RUN_ELSEWHERE = {
    "make up": ("tests/end_to_end/live_service.py", "api_server.py"),
    ".venv/bin/megatts3 up": ("tests/end_to_end/live_service.py", "api_server.py"),
    ".venv/bin/python api_server.py --config": ("tests/end_to_end/live_service.py", '"--config"'),
    ".venv/bin/megatts3 doctor": ("tests/end_to_end/test_installation.py", "megatts3 doctor"),
    ".venv/bin/celery -A worker.app worker": ("tests/end_to_end/test_installation.py", "celery -A worker.app"),
    "scripts/backup.sh": ("tests/end_to_end/test_installation.py", "scripts/backup.sh"),
    "scripts/upgrade.sh": ("tests/operations/test_backup_and_upgrade.py", "scripts/upgrade.sh"),
    "MODE=local STOP=": ("tests/operations/test_backup_and_upgrade.py", '"MODE": "local"'),
    "docker compose up -d": ("scripts/images/trial.py", '"--detach"'),
}
# What cannot be run where the tests run, and why; such a command is held to the files it names.
NOT_HERE = {
    "docker compose": "needs a Docker engine: `make images` runs compose; here its profiles and services are looked up",
    "helm install": "needs a cluster: `make deploy` lints the chart; here its values are looked up",
}
HERE = ("cp .env.example", "key=$(openssl", "printf %s", "export MEGATTS3_WEBHOOK_SECRET")


def shell(*lines: str, cwd: Path) -> str:
    done = subprocess.run(["sh", "-ec", "\n".join(lines)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_is_run_somewhere_or_says_why_not(command: str):
    known = [*RUN_ELSEWHERE, *NOT_HERE, *HERE, *LIVE]

    assert any(command.startswith(beginning) for beginning in known), f"nobody tries: {command}"


def test_nothing_is_listed_that_the_handbook_no_longer_says():
    for beginning in (*RUN_ELSEWHERE, *NOT_HERE, *HERE, *LIVE):
        assert any(command.startswith(beginning) for command in COMMANDS), beginning


@pytest.mark.parametrize(("file", "word"), sorted(set(RUN_ELSEWHERE.values())))
def test_the_tests_that_are_named_run_it(file: str, word: str):
    assert word in (ROOT / file).read_text()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("docker compose")])
def test_compose_commands_name_profiles_and_services_there_are(command: str):
    words = shlex.split(command)[2:]
    profiles = {profile for service in COMPOSE["services"].values() for profile in service.get("profiles", ())}

    assert {words[n + 1] for n, word in enumerate(words) if word == "--profile"} <= profiles
    assert {words[n + 1].partition("=")[0] for n, word in enumerate(words) if word == "--scale"} <= set(
        COMPOSE["services"]
    )
    verb = next(word for word in words if word in {"build", "up", "ps", "logs"})
    named = words[words.index(verb) + 1 :]
    assert {word for word in named[-1:] if verb == "logs"} <= set(COMPOSE["services"])


def test_the_helm_command_sets_values_there_are():
    (command,) = (c for c in COMMANDS if c.startswith("helm"))
    words = shlex.split(command)
    values = yaml.safe_load((ROOT / words[3] / "values.yaml").read_text())

    for setting in (words[n + 1] for n, word in enumerate(words) if word == "--set"):
        group, name = setting.partition("=")[0].split(".")
        assert name in values[group], setting


def test_the_example_of_the_environment_names_what_compose_reads_and_nothing_else():
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = dict(re.findall(r"\$\{(\w+):-((?:[^{}]|\{[^}]*\})*)\}", text))
    example = dict(re.findall(r"^#(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))

    images = {"MEGATTS3_API_IMAGE", "MEGATTS3_WORKER_IMAGE"}
    proxies = {"MEGATTS3_TRUSTED_PROXIES"}
    assert set(example) == set(defaults) - images - proxies
    for name, value in example.items():
        if name != "MEGATTS3_API_KEYS":  # an example of what one might want
            assert value == defaults[name], name


def test_a_key_is_made_and_hashed_as_written_and_the_file_of_keys_is_read(tmp_path: Path):
    made = shell(*(c for c in COMMANDS if c.startswith(("key=", "printf"))), cwd=tmp_path).split()
    key, hashed = made[5], made[6]
    text = re.search(r"```yaml\n(keys:.*?)```", (ROOT / HANDBOOK).read_text(), re.DOTALL)[1]
    (tmp_path / "keys.yaml").write_text(re.sub(r"sha256: \w+", f"sha256: {hashed}", text))

    settings = load_settings(environ={"MEGATTS3_API_KEYS_FILE": str(tmp_path / "keys.yaml")})

    assert digest_of(key) == hashed
    assert [(k.name, k.digest) for k in settings.api.file_keys] == [("platform", hashed)]


def test_a_webhook_secret_made_as_written_is_one_the_settings_take():
    (command,) = (c for c in COMMANDS if c.startswith("export MEGATTS3_WEBHOOK_SECRET"))
    secret = shell(command, 'printf %s "$MEGATTS3_WEBHOOK_SECRET"', cwd=ROOT)

    assert load_settings(environ={"MEGATTS3_WEBHOOK_SECRET": secret}).warnings == ()


def test_the_environment_file_is_copied_as_written(tmp_path: Path):
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    shell("cp .env.example .env", cwd=tmp_path)

    assert (tmp_path / ".env").read_text()
