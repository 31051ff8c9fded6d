"""What the documents say is so: the tree, the codes, the keys, the routes, every link, every path, the examples."""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from contract.errors import ErrorCode
from contract.redis_keys import RedisKeys
from contract.redis_keys import __doc__ as redis_table
from contract.setting_keys import KEYS, OTHER_VARIABLES
from contract.telemetry import Metric
from megatts3.api import Waveform, encode
from megatts3_server.problems import PROBLEMS
from megatts3_server.routes import ROUTES
from scripts.make_tiny_checkpoint import make_tiny_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("megatts3", "contract", "megatts3_server", "worker", "monitor", "cli")
NOT_OURS = {"build", "demo", "logs", "runs"}  # ignored folders; so is most of checkpoints/ and storage/
DOCUMENTS = [
    document.relative_to(ROOT)
    for top in sorted(ROOT.iterdir())
    if not top.name.startswith(".") and top.name not in NOT_OURS
    for document in (sorted(top.rglob("*.md")) if top.is_dir() else [top] if top.suffix == ".md" else [])
    if top.name not in {"checkpoints", "storage"} or document.parent.name in {top.name, "mini"}
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str | Path) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str | Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(read(name)) if kind == language]


def prose(name: str | Path) -> str:
    """The text without its code blocks."""
    return FENCE.sub("", read(name))


# --- the tree


def drawn() -> Iterator[tuple[str, bool]]:
    """Paths the README's tree names, and whether each was drawn as a folder."""
    folder = ""
    (tree,) = blocks("README.md", "tree")
    for line in tree.splitlines():
        *found, _ = re.split(r"\s{2,}", line.strip())  # names, two blanks between, then what they are for
        if not line.startswith(" "):
            folder = found[0] if found[0].endswith("/") else ""
            yield found[0].rstrip("/"), found[0].endswith("/")
        else:
            for name in found:
                yield folder + name.rstrip("/"), name.endswith("/")


def modules(package: Path) -> set[str]:
    """Modules and sub-packages of a package, as paths."""
    found = {p for p in package.glob("*.py") if p.name != "__init__.py"}
    found |= {p.parent for p in package.glob("*/__init__.py")}
    return {p.relative_to(ROOT).as_posix() for p in found}


def test_the_readme_shows_every_module_of_every_package_and_none_that_is_gone() -> None:
    shown = [path for path, _ in drawn()]

    assert len(shown) == len(set(shown)), "a module is shown twice"
    for package in PACKAGES:
        below = {path for path in shown if path.startswith(f"{package}/")}
        assert below == modules(ROOT / package), f"the README's tree of {package}/ is not the tree"


def test_the_readmes_tree_draws_folders_as_folders() -> None:
    for path, is_folder in drawn():
        assert (ROOT / path).exists(), f"{path} is not there"
        assert (ROOT / path).is_dir() == is_folder, path


def test_the_readmes_first_two_commands_are_demo_and_test() -> None:
    first = re.findall(r"^(make \w+|curl|\.venv\S*)", "\n".join(blocks("README.md", "sh")), re.MULTILINE)

    assert first[:2] == ["make demo", "make test"]


# --- links and paths


def headings(name: Path) -> set[str]:
    """Anchors of a document, as web hosts make them."""
    lines = [line.lstrip("#").strip() for line in prose(name).splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(prose(document)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), f"{document}: {target}"
        if anchor:
            assert anchor in headings(file.resolve().relative_to(ROOT)), f"{document}: {target}"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/operations.md"])
def test_every_source_file_a_document_names_is_there(document: str) -> None:
    """A name in backticks that looks like a file of ours; a bare module name may lie in any package."""
    known = {p.name for package in (*PACKAGES, "tests", "scripts", "configs") for p in (ROOT / package).rglob("*.*")}
    for name in re.findall(r"`([\w./-]+\.(?:py|sh|yaml|lua|md))`", prose(document)):
        if name.startswith("demo/"):
            continue
        assert (ROOT / name).exists() or (("/" not in name) and name in known), f"{document}: {name}"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/operations.md"])
def test_every_make_target_a_document_names_is_there(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z]+)\b(?=`|\s+#|$)", read(document), re.MULTILINE)) <= targets


# --- references


def key_rows(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if re.match(r"\| `", line.strip())]


def table(name: str) -> dict[str, list[str]]:
    """Rows whose first cell is a name in backticks, by that name."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in key_rows(read(name))]
    return {row[0].strip("`"): row for row in rows}


def test_every_error_code_is_documented_with_its_status() -> None:
    documented = {code: row[1] for code, row in table("docs/errors.md").items()}

    assert documented == {code.value: str(PROBLEMS[code].status) for code in ErrorCode}


def test_every_redis_key_is_documented_as_the_code_has_it() -> None:
    assert redis_table is not None
    assert key_rows(redis_table)
    assert key_rows(read("docs/redis.md")) == key_rows(redis_table)


def test_every_redis_key_the_code_spells_is_in_the_table() -> None:
    keys = RedisKeys()
    listed = {row.split("`")[1] for row in key_rows(redis_table or "")}
    spelled = set()
    for name, method in inspect.getmembers(keys, inspect.ismethod):
        if not name.startswith("_"):
            places = {place: f"{{{place}}}" for place in inspect.signature(method).parameters}
            spelled.add(method(**places).removeprefix(keys.root))
    prefixes = {key for key in spelled if key.endswith(":")}  # the limiter's: what follows is its own

    assert {key for key in listed if not key.startswith(tuple(prefixes))} == spelled - prefixes
    for prefix in prefixes:
        assert any(key.startswith(prefix) for key in listed), prefix


def test_every_setting_and_variable_is_documented() -> None:
    page = read("docs/configuration.md")
    names = {name for key in KEYS for name in (*key.prefixed, *key.bare)} | {key.path for key in KEYS if not key.secret}

    assert {name for name in names | set(OTHER_VARIABLES) if f"`{name}`" not in page} == set()


def test_every_variable_a_document_names_is_a_setting() -> None:
    known = {name for key in KEYS for name in key.prefixed} | set(OTHER_VARIABLES)
    for document in DOCUMENTS:
        named = set(re.findall(r"\bMEGATTS3_[A-Z0-9_]*[A-Z0-9]\b", read(document)))
        assert named <= known, document


def test_every_route_is_documented_and_every_route_documented_exists() -> None:
    rows = re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) ([^`]+)` \|", read("docs/architecture.md"), re.MULTILINE)
    spelled = [(method, rule.replace("{", "<").replace("}", ">")) for method, rule in rows]

    assert sorted(spelled) == sorted((route.method, route.rule) for route in ROUTES)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_address_in_an_example_has_a_route(document: Path) -> None:
    rules = [re.sub(r"<\w+>", "[^/]+", route.rule) for route in ROUTES]
    for block in blocks(document, "sh"):
        for path in re.findall(r"localhost:\d+(/[^\s\"'?]*)", block):
            assert any(re.fullmatch(rule, path) for rule in rules), f"{document}: {path}"


def test_the_import_rules_are_documented_as_they_are_checked() -> None:
    page = read("docs/architecture.md")
    rules = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    tabled = re.findall(r"^\| (.+?) \|", page.partition("### Import rules")[2].partition("## ")[0], re.MULTILINE)

    assert tabled[1:] == [rule["name"] for rule in rules]
    (layers,) = [rule["layers"] for rule in rules if rule["type"] == "layers"]
    assert " → ".join(", ".join(f"`{name}`" for name in layer.split(" | ")) for layer in layers) in page


# --- operations


def section(name: str, heading: str) -> str:
    return read(name).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_option_of_the_launcher_is_documented_and_none_that_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["up", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}

    rows = "\n".join(key_rows(section("docs/operations.md", "Start and stop")))
    assert set(re.findall(r"--[a-z-]+", rows)) == options


def test_every_exit_status_is_documented() -> None:
    rows = re.findall(r"^\| (\d+) \|", section("docs/operations.md", "Start and stop"), re.MULTILINE)

    assert [int(row) for row in rows] == [int(code) for code in ExitCode]


def test_a_setting_said_to_have_no_effect_is_read_by_nobody() -> None:
    """Whoever builds one of them takes it off the list; names too common to be told apart are not looked at."""
    (listed,) = re.findall(r"without effect so far: (.*?)\.\n", read("docs/operations.md"), re.DOTALL)
    patterns = [name.replace(".", r"\.").replace("*", r"\w+") for name in re.findall(r"`([^`]+)`", listed)]
    targets = [key.target.split(".") for key in KEYS if any(re.fullmatch(p, key.path) for p in patterns)]
    attributes = {parts[-2] if parts[-2] == "monitoring" else parts[-1] for parts in targets} - {"type", "version"}
    readers = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if not p.name.startswith("setting")]

    assert "config_path" in attributes
    for path in [*readers, ROOT / "configs" / "gunicorn.py"]:
        assert not re.search(rf"\.({'|'.join(attributes)})\b", path.read_text(encoding="utf-8")), path


def test_every_metric_is_documented_and_every_metric_documented_exists() -> None:
    rows = key_rows(section("docs/operations.md", "Metrics and the canary"))
    named = {name for row in rows for name in re.findall(r"`(megatts3_\w+)`", row)}

    assert named == set(Metric)


def test_every_log_event_documented_is_told_somewhere() -> None:
    told = "\n".join(p.read_text(encoding="utf-8") for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
    events = {e for row in key_rows(section("docs/operations.md", "Logs")) for e in re.findall(r"`(\w+)`", row)}

    assert "synthesis_time" in events
    assert {event for event in events if f'"{event}"' not in told} == set()


# --- examples


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_python_example_can_be_read(document: Path) -> None:
    for block in blocks(document, "python"):
        ast.parse(block, filename=str(document))


def test_the_readmes_library_example_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, on tiny random networks in the place of mini."""
    (example,) = blocks("README.md", "python")
    checkpoint = make_tiny_checkpoint(tmp_path / "checkpoints" / "mini")
    times = np.arange(48_000) / 24_000
    clip = Waveform((0.2 * np.sin(2 * np.pi * 220 * times)).astype(np.float32), 24_000)
    (checkpoint / "voices").mkdir()
    (checkpoint / "voices" / "default.flac").write_bytes(encode(clip, "flac"))
    monkeypatch.chdir(tmp_path)

    exec(compile(example, "README.md", "exec"), {})

    assert (tmp_path / "hello.wav").read_bytes().startswith(b"RIFF")
