"""The redis-cli session of docs/redis.md, run as it is printed, against a cache with three entries."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from contract.schemas import AudioFormat
from contract.stores.interfaces import CachedAudio
from contract.stores.opening import open_stores

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "redis.md"
ANY_ORDER = ("HGETALL megatts3:1:audio:stats", "SMEMBERS")  # Redis promises none
MAY_BE_LESS = ("TTL",)


def session() -> list[tuple[str, list[str]]]:
    """Each command of the document's console blocks with the lines printed below it."""
    blocks = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    commands: list[tuple[str, list[str]]] = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ redis-cli "):
            commands.append((line.removeprefix("$ redis-cli "), []))
        else:
            commands[-1][1].append(line)
    return commands


@pytest.fixture
def cache(own_redis, settings, clock):
    used = replace(settings.redis, url=own_redis.url)
    return open_stores(replace(settings, redis=used), clock=clock).audio_cache


def answer(size: int, voice: str) -> CachedAudio:
    return CachedAudio(bytes(size), voice, AudioFormat.MP3, duration_s=1.25, sample_rate=24_000)


@pytest.mark.redis
def test_the_documented_session_prints_what_the_document_says(own_redis, cache):
    for name, size, voice in (("a11e", 4210, "anna"), ("b01d", 2105, "bob"), ("c0de", 2105, "anna")):
        assert cache.get(name) is None
        assert cache.put(name, answer(size, voice))
    assert cache.get("a11e") is not None
    cache.stats()  # looks are counted a moment later, and before anyone is told the counts
    commands = session()
    assert len(commands) == 8, "the document lost its session"

    for command, printed in commands:
        said = own_redis.cli(*command.split())
        if command.startswith(ANY_ORDER):
            assert pairs(said, command) == pairs(printed, command)
            continue
        if command.startswith(MAY_BE_LESS):
            assert int(printed[0]) - 60 < int(said[0]) <= int(printed[0])
            continue
        assert said == printed, command

    assert cache.get("c0de") is None
    assert cache.stats().size_bytes == 4210 + 2105


def pairs(lines: list[str], command: str) -> list[object]:
    """Without the order; a count that never happened is no field, and the document shows it as 0."""
    if command.startswith("SMEMBERS"):
        return sorted(lines)
    return sorted(pair for pair in zip(lines[::2], lines[1::2], strict=True) if pair[1] != "0")
