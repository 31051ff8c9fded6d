"""The walls between the packages: what a fresh interpreter loads, who reads the environment, who imports whom."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("megatts3", "contract", "megatts3_server", "worker", "monitor", "cli")
ENVIRONMENT_READER = ROOT / "contract" / "settings.py"
API_START_S = 1.5

_REPORT = """
import json, sys, time
began = time.process_time()
import {module}
took_s = time.process_time() - began
print(json.dumps({{"took_s": took_s, "modules": sorted({{name.split(".")[0] for name in sys.modules}})}}))
"""


def fresh_import(module: str) -> tuple[float, set[str]]:
    """Processor seconds and top-level modules of an import in a new interpreter.

    Not wall-clock seconds: those measure what else the machine does.
    """
    done = subprocess.run(
        [sys.executable, "-c", _REPORT.format(module=module)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    report = json.loads(done.stdout)
    return report["took_s"], set(report["modules"])


@pytest.mark.parametrize("module", ["megatts3_server.wsgi", "megatts3_server.app"])
def test_the_api_loads_no_engine_and_starts_quickly(module: str):
    took_s, modules = fresh_import(module)

    assert not modules & {"torch", "numpy", "megatts3", "worker", "gevent"}
    assert took_s < API_START_S


def test_the_worker_loads_no_web_framework():
    _, modules = fresh_import("worker.app")

    assert not modules & {"flask", "werkzeug", "gunicorn", "megatts3_server"}


def test_the_contract_is_light():
    _, modules = fresh_import("contract.stores.opening")

    assert not modules & {"flask", "torch", "numpy", "megatts3", "worker", "megatts3_server"}


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def reads_environment(path: Path) -> bool:
    """Whether `os.environ` or `os.getenv` occurs as code; an `environ` of WSGI is another thing."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names |= {alias.name for alias in node.names}
    return bool(names & {"environ", "environb", "getenv"})


def test_the_environment_is_read_in_one_file():
    readers = [path.relative_to(ROOT) for path in sources() if reads_environment(path)]

    assert readers == [ENVIRONMENT_READER.relative_to(ROOT)]


def test_no_module_is_named_for_nothing_in_particular():
    vague = {"utils", "util", "common", "helpers", "core", "base", "manager", "misc"}

    assert [path for path in sources() if path.stem in vague or path.parent.name in vague] == []


def test_the_import_contracts_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)

    assert done.returncode == 0, done.stdout
