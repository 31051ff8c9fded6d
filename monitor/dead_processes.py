"""Keep what dead processes counted, and not their files.

Each process has its own files of counters and histograms; they must outlive it, for a count that falls looks like
a restart of everything.  A service whose processes come and go for weeks would pile them up, so the files of the
dead are added into one pair.  Gauges of the dead are removed: what they measured is over.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

DEAD = 0  # the process number the sums go by; no process has it
FOLD_ABOVE = 16  # files of dead processes that may lie about
_FILE = re.compile(r"(?P<kind>counter|histogram|gauge_[a-z]+)_(?P<pid>\d+)\.db")


def fold_dead(folder: Path) -> int:
    """Remove gauges of dead processes; add up their counts once there are many files.  How many files went."""
    dead: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("*.db")):
        found = _FILE.fullmatch(path.name)
        if found is not None and int(found["pid"]) != DEAD and not is_alive(int(found["pid"])):
            dead[found["kind"]].append(path)
    gone = 0
    for kind, paths in dead.items():
        if kind.startswith("gauge_live"):
            gone += sum(_remove(path) for path in paths)
        elif kind in {"counter", "histogram"} and len(paths) > FOLD_ABOVE:
            gone += _fold(folder / f"{kind}_{DEAD}.db", paths)
    return gone


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and alive
        return True
    return True


def _fold(target: Path, paths: list[Path]) -> int:
    """Add `paths` to `target`: written aside and renamed, so that a scrape never sees half of it."""
    sums: dict[str, float] = defaultdict(float)
    for path in [*paths, target] if target.exists() else paths:
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):
            sums[key] += value
    aside = target.with_suffix(".part")
    aside.unlink(missing_ok=True)
    written = MmapedDict(str(aside))
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    aside.replace(target)
    return sum(_remove(path) for path in paths)


def _remove(path: Path) -> int:
    path.unlink(missing_ok=True)
    return 1
