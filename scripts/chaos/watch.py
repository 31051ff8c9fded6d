"""Looking on from outside: what the service announces, and how much memory its processes hold."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from scripts.chaos.ledger import Ledger

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SETTLED_AFTER_S = 20.0  # imports and first requests are no leak


@dataclass(frozen=True)
class Slope:
    """Resident memory of one process over its life, start left out."""

    name: str
    pid: int
    minutes: float
    first_bytes: int
    last_bytes: int
    bytes_a_minute: float
    halves_bytes_a_minute: tuple[float, float] | None = None  # what warms up grows in the first, a leak in both


class Watch:
    """A thread that looks on until it is stopped."""

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        raise NotImplementedError


class Announcements(Watch):
    """Writes every announced end of a job into the ledger, across restarts of Redis."""

    def __init__(self, connect: Callable[[], "redis.Redis"], channel: str, ledger: Ledger) -> None:
        self._connect, self._channel, self._ledger = connect, channel, ledger
        super().__init__("announcements")

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(redis.RedisError, OSError), self._connect() as client:
                pubsub = client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(self._channel)
                while not self._stop.is_set():
                    message = pubsub.get_message(timeout=0.5)
                    if message is not None:
                        event = json.loads(message["data"])
                        if event.get("kind") == "job":
                            self._ledger.heard_of(event["id"], event["status"])
            self._stop.wait(0.2)


class MemoryWatch(Watch):
    """Resident memory of every process, every few seconds."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], *, every_s: float = 2.0) -> None:
        self._pids, self._every_s = pids, every_s
        self._seen: dict[tuple[str, int], list[tuple[float, int]]] = {}
        super().__init__("memory")

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            for name, pid in self._pids().items():
                with contextlib.suppress(OSError):
                    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
                    self._seen.setdefault((name, pid), []).append((time.monotonic(), resident))

    def slopes(self, *, at_least_s: float) -> list[Slope]:
        """Of processes that were watched for so long after they had settled."""
        found = []
        for (name, pid), seen in sorted(self._seen.items()):
            settled = [(t, held) for t, held in seen if t >= seen[0][0] + SETTLED_AFTER_S]
            if len(settled) < 3 or settled[-1][0] - settled[0][0] < at_least_s:
                continue
            minutes = (settled[-1][0] - settled[0][0]) / 60
            half = len(settled) // 2
            halves = (60 * least_squares(settled[: half + 1]), 60 * least_squares(settled[half:]))
            found.append(Slope(name, pid, minutes, settled[0][1], settled[-1][1], 60 * least_squares(settled), halves))
        return found


def least_squares(points: Sequence[tuple[float, int]]) -> float:
    """Slope of the line of best fit, units of the second by the first."""
    mean_t = sum(t for t, _ in points) / len(points)
    mean_v = sum(v for _, v in points) / len(points)
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    return sum((t - mean_t) * (v - mean_v) for t, v in points) / spread if spread else 0.0
