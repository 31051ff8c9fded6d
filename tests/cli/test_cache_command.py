"""`megatts3 cache`: what it prints, what it erases, and how it fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.cache import run_cache
from cli.exit_codes import LaunchError
from cli.main import main, make_parser
from contract.schemas import AudioFormat
from contract.stores.interfaces import CachedAudio


@pytest.fixture
def run(stores, clock, settings, tmp_path, capsys):
    files = ["--config", str(tmp_path / "none.yaml"), "--model-config", str(tmp_path / "none.yaml")]

    def typed(*words: str) -> str:
        arguments = make_parser().parse_args(["cache", *files, *words])
        assert run_cache(arguments, open_them=lambda _: stores, clock=clock) == 0
        return str(capsys.readouterr().out)

    for name, voice in (("aa11", "anna"), ("aa22", "bob"), ("cc33", "anna")):
        audio = CachedAudio(b"x" * 1000, voice, AudioFormat.MP3, duration_s=2.5, sample_rate=24_000)
        stores.audio_cache.put(name, audio)
    stores.audio_cache.get("aa11")
    stores.audio_cache.get("none")
    clock.advance(90)
    return typed


def test_stats_count_entries_bytes_and_hits(run, settings):
    printed = run("stats")
    assert "entries    3\n" in printed
    assert f"bytes      3000 of {settings.cache.max_bytes} (0.0 %)" in printed
    assert "hit ratio  0.500" in printed


def test_ls_begins_with_what_goes_next(run):
    lines = run("ls").splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["aa22", "cc33", "aa11"]
    assert lines[1].split() == ["aa22", "bob", "mp3", "2.50", "1000", "0", "1m30s"]
    assert [line.split()[0] for line in run("ls", "--voice", "anna", "--limit", "1").splitlines()[1:]] == ["cc33"]


def test_show_tells_of_one_entry_and_writes_its_audio(run, tmp_path):
    out = tmp_path / "a.mp3"
    printed = run("show", "aa1", "--out", str(out))
    assert "voice        anna" in printed
    assert out.read_bytes() == b"x" * 1000


def test_a_beginning_that_several_have_is_refused(run):
    for words in (("show", "aa"), ("show", "zz"), ("purge", "--fingerprint", "aa")):
        with pytest.raises(LaunchError, match="entries begin with"):
            run(*words)


def test_purge_erases_what_was_named_and_no_more(run, stores):
    assert run("purge", "--fingerprint", "aa1") == "erased 1 entry\n"
    assert run("purge", "--voice", "bob") == "erased 1 entry\n"
    assert [e.fingerprint for e in stores.audio_cache.entries()] == ["cc33"]
    assert run("purge", "--all") == "erased 1 entry\n"
    assert stores.audio_cache.stats().entries == 0


def test_without_redis_it_says_so_and_shows_no_password(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEGATTS3_REDIS_URL", "redis://:secret@127.0.0.1:1")
    status = main(["cache", "stats"])
    said = capsys.readouterr().err
    assert status == 6
    assert "127.0.0.1:1" in said
    assert "secret" not in said


@pytest.mark.redis
def test_the_built_in_redis_is_found_by_its_port_file(own_redis, settings, tmp_path):
    from cli.cache import of_the_running_service
    from cli.embedded_redis import remember_port

    remember_port(settings.storage.dir / "redis", own_redis.port)
    assert of_the_running_service(settings).redis.url == own_redis.url
    named = replace(settings, redis=replace(settings.redis, is_given=True))
    assert of_the_running_service(named) == named
