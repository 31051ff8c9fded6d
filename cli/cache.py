"""`megatts3 cache`: look into the audio cache, and empty it.  Reads the settings, talks to Redis alone."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from cli.embedded_redis import remembered_url
from cli.exit_codes import ExitCode, LaunchError
from contract.errors import ServiceError
from contract.settings import Settings, load_settings
from contract.stores.interfaces import AudioCache, CacheEntry, Stores
from contract.stores.opening import open_stores

SHOWN_CHARACTERS = 16  # of a fingerprint in a list; `show` and `purge` take any beginning that is unique
LISTED_AT_MOST = 1_000_000


def add_cache(parser: argparse.ArgumentParser) -> None:
    """The actions of `megatts3 cache`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="API settings (configs/api_config.yaml)")
    parser.add_argument("--model-config", type=Path, metavar="FILE", help="model settings (configs/model_config.yaml)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("stats", help="entries, bytes, hits and misses")
    listing = actions.add_parser("ls", help="entries, the next to be evicted first")
    listing.add_argument("--voice", help="only audio made with this voice")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most N of them (100)")
    showing = actions.add_parser("show", help="one entry")
    showing.add_argument("fingerprint", help="it, or a beginning of it that no other has")
    showing.add_argument("--out", type=Path, metavar="FILE", help="write the audio here (this counts as a use)")
    purging = actions.add_parser("purge", help="erase entries")
    chosen = purging.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--all", action="store_true", help="everything")
    chosen.add_argument("--voice", help="all audio made with this voice")
    chosen.add_argument("--fingerprint", help="one entry: it, or a beginning of it that no other has")


def run_cache(
    arguments: argparse.Namespace,
    *,
    open_them: Callable[[Settings], Stores] = open_stores,
    clock: Callable[[], float] = time.time,
) -> ExitCode:
    """Do one action.  Raises LaunchError when Redis is away or there is no such entry."""
    settings = of_the_running_service(load_settings(api_config=arguments.config, model_config=arguments.model_config))
    cache = open_them(settings).audio_cache
    try:
        for line in ACTIONS[arguments.action](cache, arguments, clock()):
            sys.stdout.write(line + "\n")
    except ServiceError as error:
        where = settings.cache.redis_url or settings.redis.url
        host = where.rpartition("@")[2]  # the rest of the URL may hold a password
        raise LaunchError(ExitCode.NO_REDIS, f"the cache's Redis cannot be asked ({host}): {error}") from error
    return ExitCode.OK


def of_the_running_service(settings: Settings) -> Settings:
    """With the built-in Redis where no other was named."""
    own = None if settings.redis.is_given else remembered_url(settings.storage.dir / "redis")
    return settings if own is None else replace(settings, redis=replace(settings.redis, url=own))


def stats(cache: AudioCache, _arguments: argparse.Namespace, _now_s: float) -> Sequence[str]:
    cache.entries(limit=1)  # raises when Redis is away; stats() itself never does
    found = cache.stats()
    share = 100 * found.size_bytes / found.max_bytes if found.max_bytes else 0.0
    return (
        f"entries    {found.entries}",
        f"bytes      {found.size_bytes} of {found.max_bytes} ({share:.1f} %)",
        f"hits       {found.hits}",
        f"misses     {found.misses}",
        f"hit ratio  {found.hit_ratio:.3f}",
        f"evictions  {found.evictions}",
        f"expired    {found.expired}",
    )


def listed(cache: AudioCache, arguments: argparse.Namespace, now_s: float) -> Sequence[str]:
    wanted = arguments.voice
    entries = cache.entries(limit=arguments.limit if wanted is None else LISTED_AT_MOST)
    chosen = [entry for entry in entries if wanted in {None, entry.voice_id}][: arguments.limit]
    head = (
        f"{'FINGERPRINT':{SHOWN_CHARACTERS}}  {'VOICE':20} {'FORMAT':6} {'SECONDS':>8} {'BYTES':>10} {'HITS':>5}  AGE"
    )
    return (head, *(_line(entry, now_s) for entry in chosen))


def shown(cache: AudioCache, arguments: argparse.Namespace, now_s: float) -> Sequence[str]:
    entry = _the_one(cache, arguments.fingerprint)
    lines = [
        f"fingerprint  {entry.fingerprint}",
        f"voice        {entry.voice_id}",
        f"format       {entry.audio_format}",
        f"seconds      {entry.duration_s:.3f}",
        f"bytes        {entry.size_bytes} held, {entry.audio_bytes} as sent",
        f"hits         {entry.hits}",
        f"age          {_age(now_s - entry.created_at)}",
        f"expires in   {_age(entry.expires_in_s)}",
    ]
    if arguments.out is not None:
        found = cache.get(entry.fingerprint)
        if found is None:
            raise LaunchError(ExitCode.SERVICE_FAILED, "the entry went while we looked")
        arguments.out.write_bytes(found.data)
        lines.append(f"written      {arguments.out}")
    return lines


def purged(cache: AudioCache, arguments: argparse.Namespace, _now_s: float) -> Sequence[str]:
    if arguments.all:
        count = cache.purge()
    elif arguments.voice is not None:
        count = cache.delete_voice(arguments.voice)
    else:
        count = int(cache.delete(_the_one(cache, arguments.fingerprint).fingerprint))
    return (f"erased {count} {'entry' if count == 1 else 'entries'}",)


ACTIONS: dict[str, Callable[[AudioCache, argparse.Namespace, float], Sequence[str]]] = {
    "stats": stats,
    "ls": listed,
    "show": shown,
    "purge": purged,
}


def _the_one(cache: AudioCache, beginning: str) -> CacheEntry:
    found = [entry for entry in cache.entries(limit=LISTED_AT_MOST) if entry.fingerprint.startswith(beginning)]
    if len(found) != 1:
        raise LaunchError(ExitCode.USAGE, f"{len(found) or 'no'} entries begin with {beginning!r}")
    return found[0]


def _line(entry: CacheEntry, now_s: float) -> str:
    name = entry.fingerprint[:SHOWN_CHARACTERS]
    return (
        f"{name:{SHOWN_CHARACTERS}}  {entry.voice_id:20} {entry.audio_format:6} {entry.duration_s:8.2f} "
        f"{entry.size_bytes:10d} {entry.hits:5d}  {_age(now_s - entry.created_at)}"
    )


def _age(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
