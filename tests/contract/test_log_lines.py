"""The log file: the operators' own format and one-liner, several processes, rotation, JSON."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contract.settings import LoggingSettings
from contract.telemetry import (
    accepted_request_id,
    bound_request_id,
    configure_logging,
    current_request_id,
    event_log,
    request_headers,
    request_id_of,
)

ROOT = Path(__file__).parents[2]
AWK = '{sum+=$4; count++} END {print "平均合成时间:", sum/count, "秒"}'


@pytest.fixture
def logging_settings(tmp_path):
    return LoggingSettings(file=tmp_path / "logs" / "megatts3.log")


@pytest.fixture
def configured(logging_settings):
    """Configure the root logger for a test and give it back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []

    def configure(**changes):
        configure_logging(replace(logging_settings, **changes), stderr=False)
        return logging_settings.file

    yield configure
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def test_the_operators_one_liner_prints_the_mean(configured):
    path = configured()
    log = event_log("worker")
    log.synthesis_time(1.25, job="job_1", audio_s=2.5)
    log.info("job_done", job="job_1", note="synthesis_time was short")
    logging.getLogger("other").info("synthesis_time of someone else")
    log.synthesis_time(0.75, job="job_2")
    shell = f"grep \"synthesis_time\" {path} | awk '{AWK}'"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["平均合成时间:", "1", "秒"]


def test_a_line_is_in_the_given_format(configured):
    path = configured()
    with bound_request_id("req-7"):
        event_log("worker").synthesis_time(1.2344, job="job_1", rtf=0.5, cached=False)
    pattern = (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[INFO\] 1\.234 synthesis_time "
        r"job=job_1 rtf=0\.500 cached=false request_id=req-7\n"
    )
    assert re.fullmatch(pattern, path.read_text())


def test_the_word_error_is_in_error_lines_only(configured):
    path = configured()
    log = event_log("worker")
    log.info("job_failed", code="ERROR", note="an ERROR here")
    log.warning("ERROR_rate_high")
    log.error("job_broken", code="internal")
    try:
        int("no number")
    except ValueError:
        log.exception("surprise")
    lines = path.read_text().splitlines()
    assert [line for line in lines if "ERROR" in line] == [lines[2], lines[3]]
    assert "Traceback" in path.read_text()


def test_nothing_that_is_logged_can_forge_a_line(configured):
    path = configured()
    event_log("api").info("odd", value="a\n2026-01-01 00:00:00,000 [ERROR] forged")
    logging.getLogger("third").info("first\nsecond\r\x1b[31m")
    assert len(path.read_text().splitlines()) == 2


def test_json_lines_hold_the_same_fields(configured):
    path = configured(json=True)
    log = event_log("worker")
    log.synthesis_time(1.25, job="job_1", audio_s=2.5)
    log.info("odd", level="x", thing=Path("a"), nan=float("nan"))
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert (first["event"], first["seconds"], first["job"], first["level"]) == (
        "synthesis_time",
        1.25,
        "job_1",
        "INFO",
    )
    assert (second["level"], second["level_"], second["thing"], second["nan"]) == ("INFO", "x", "a", "nan")


def test_the_level_is_kept(configured):
    path = configured(level="WARNING")
    event_log("worker").info("quiet")
    event_log("worker").warning("loud")
    assert "quiet" not in path.read_text()
    assert "loud" in path.read_text()


def test_a_log_that_cannot_be_opened_does_not_stop_the_process(logging_settings, tmp_path, configured, capsys):
    (tmp_path / "blocked").write_text("")
    configure_logging(replace(logging_settings, file=tmp_path / "blocked" / "x.log"))
    event_log("worker").info("still_here")
    shown = capsys.readouterr().err
    assert "log_file_unavailable" in shown
    assert "still_here" in shown


WRITER = """
import sys
from pathlib import Path
from contract.settings import LoggingSettings
from contract.telemetry import configure_logging, event_log
name, file = sys.argv[1:]
configure_logging(LoggingSettings(file=Path(file), max_bytes=20_000, backup_count=50), stderr=False)
for n in range(300):
    event_log("x").info("line", name=name, n=n, filler="f" * 40)
"""


def test_several_processes_share_one_rotating_file_and_lose_no_line(tmp_path):
    file = tmp_path / "m.log"
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, f"w{k}", str(file)], cwd=ROOT) for k in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = [path for path in tmp_path.iterdir() if path.suffix != ".lock"]
    lines = [line for path in files for line in path.read_text().splitlines()]
    found = {re.search(r"name=(\w+) n=(\d+) filler=f{40}$", line).groups() for line in lines}
    assert len(lines) == len(found) == 900
    assert len(files) > 2
    assert all(path.stat().st_size <= 20_000 for path in files)


def test_only_so_many_old_files_are_kept(configured, logging_settings):
    path = configured(max_bytes=500, backup_count=2)
    for n in range(60):
        event_log("x").info("line", n=n)
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == ["megatts3.log", "megatts3.log.1", "megatts3.log.2", "megatts3.log.lock"]
    assert path.read_text().splitlines()[-1].endswith("n=59")


def test_a_log_file_moved_away_by_others_is_made_anew(configured):
    path = configured()
    event_log("x").info("before")
    path.rename(path.with_suffix(".old"))
    event_log("x").info("after")
    assert "after" in path.read_text()


def test_a_request_id_travels_in_task_headers():
    class TaskRequest:
        headers = request_headers("req-1")

    assert request_id_of(TaskRequest()) == "req-1"
    assert request_id_of(object()) is None
    assert request_headers(None) == {}
    with bound_request_id("req-2"):
        assert current_request_id() == "req-2"
    assert current_request_id() is None


def test_a_clients_request_id_is_kept_when_it_is_plain():
    assert accepted_request_id("abc-123") == "abc-123"
    for odd in (None, "", "a b", "x" * 65, "a\nb", "声"):
        assert accepted_request_id(odd) != odd
