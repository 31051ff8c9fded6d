"""What is done to the service, drawn from a seed, and how long it took to recover.

A fault touches only processes of the stage, by the ids the supervisor gave them.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import redis

from scripts.chaos.clients import Clients
from scripts.chaos.coded_text import CRASH, HANG, SNAG
from scripts.chaos.stage import Stage, eventually

RECOVERED_WITHIN_S = 60.0
LOOK_S = 0.1
KINDS = {
    "kill_worker": 30,
    "term_worker": 10,
    "freeze_worker": 8,
    "kill_api_process": 12,
    "kill_api_master": 6,
    "reload_api": 6,
    "kill_redis": 5,
    "restart_redis": 4,
    "freeze_redis": 4,
    "fill_disk": 5,
    "crash_job": 6,
    "hang_job": 4,
    "crash_voice": 3,
    "crash_encoder": 3,
}
Found = TypeVar("Found")
ALWAYS = tuple(KINDS)  # each at least once, then by weight


@dataclass
class Fault:
    kind: str
    at_s: float
    target: str = ""
    held: int = 0  # jobs and segments the worker held
    recovery_s: float | None = None  # see each fault


@dataclass
class Faults:
    """Performs faults one after another; several may still be recovering.  `freeze_s`: beyond the lease."""

    stage: Stage
    clients: Clients
    dice: random.Random
    freeze_s: float
    has_small_disk: bool
    done: list[Fault] = field(default_factory=list)
    _watching: list[threading.Thread] = field(default_factory=list)

    def perform(self, kind: str) -> None:
        fault = Fault(kind, round(self.clients.ledger.now_s(), 2))
        self.done.append(fault)
        getattr(self, kind)(fault)

    def join(self) -> None:
        for thread in self._watching:
            thread.join(RECOVERED_WITHIN_S)

    # ---- workers: recovered when every job and segment it held is another claim's, or over

    def kill_worker(self, fault: Fault) -> None:
        self._end_worker(fault, signal.SIGKILL)

    def term_worker(self, fault: Fault) -> None:
        self._end_worker(fault, signal.SIGTERM)

    def _end_worker(self, fault: Fault, how: signal.Signals) -> None:
        name, pid = self._a_worker()
        fault.target = name
        held = self.held_by(self.stage, name)
        fault.held = len(held)
        _signal(pid, how)
        self._watch(fault, lambda: all(self.has_moved(self.stage, record, token) for record, token in held.items()))

    def freeze_worker(self, fault: Fault) -> None:
        """Longer than its lease: its jobs are others' when it thaws, and what it then says must not count."""
        name, pid = self._a_worker()
        fault.target = name
        held = self.held_by(self.stage, name)
        fault.held = len(held)
        with _frozen(pid):
            self._watch(fault, lambda: all(self.has_moved(self.stage, record, token) for record, token in held.items()))
            time.sleep(self.freeze_s)

    # ---- the API: recovered when it answers again with all its processes

    def kill_api_process(self, fault: Fault) -> None:
        pid = self.dice.choice(_once_up(self.stage.api_children))
        _signal(pid, signal.SIGKILL)
        self._watch(fault, lambda: pid not in self._api_ready())

    def kill_api_master(self, fault: Fault) -> None:
        pid = self._service("api")
        _signal(pid, signal.SIGKILL)
        self._watch(fault, lambda: self.stage.supervisor.pids().get("api") not in {None, pid} and self._api_ready())

    def reload_api(self, fault: Fault) -> None:
        pid = self._service("api")
        before = set(self.stage.api_children())
        _signal(pid, signal.SIGHUP)
        self._watch(fault, lambda: set(self._api_ready()) - before)

    def _api_ready(self) -> list[int]:
        """Its processes, once they are complete and one answers; else every number there is, as it were: none."""
        children = self.stage.api_children()
        complete = len(children) >= self.stage.cast.api_processes
        return children if complete and self.stage.ready_workers() else []

    # ---- Redis: recovered when it answers and a worker is ready

    def kill_redis(self, fault: Fault) -> None:
        self._end_redis(fault, signal.SIGKILL)

    def restart_redis(self, fault: Fault) -> None:
        self._end_redis(fault, signal.SIGTERM)

    def _end_redis(self, fault: Fault, how: signal.Signals) -> None:
        pid = self._service("redis")
        _signal(pid, how)
        self._watch(fault, lambda: self.stage.supervisor.pids().get("redis") not in {None, pid} and self._redis_is_up())

    def freeze_redis(self, fault: Fault) -> None:
        pid = self._service("redis")
        with _frozen(pid):
            time.sleep(self.dice.uniform(2, 7))
        self._watch(fault, self._redis_is_up)

    def _redis_is_up(self) -> bool:
        try:
            with self.stage.redis() as client:
                return bool(client.ping()) and self.stage.ready_workers() > 0
        except redis.RedisError:
            return False

    # ---- the disk: recovered when there is room again and a job was accepted after that

    def fill_disk(self, fault: Fault) -> None:
        if not self.has_small_disk:
            fault.target = "no small disk here: not done"
            return
        ballast = self.stage.disk / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 16))
            time.sleep(self.dice.uniform(3, 6))
        finally:
            ballast.unlink(missing_ok=True)
        freed_s = self.clients.ledger.now_s()
        self._watch(fault, lambda: any(e.accepted_s and e.accepted_s > freed_s for e in self.clients.ledger.entries))

    # ---- poison: never recovered from; what matters is that it ends as failed

    def crash_job(self, _fault: Fault) -> None:
        self.clients.poison(CRASH)

    def hang_job(self, _fault: Fault) -> None:
        self.clients.poison(HANG)

    def crash_encoder(self, _fault: Fault) -> None:
        self.clients.poison(SNAG)

    def crash_voice(self, _fault: Fault) -> None:
        self.clients.poison_voice()

    # ---- looking

    def _a_worker(self) -> tuple[str, int]:
        """One that is up, if possible one that is ready."""
        up = self.stage.supervisor.pids
        return self.dice.choice(_once_up(lambda: [(n, p) for n, p in up().items() if n.startswith("worker")]))

    def _service(self, name: str) -> int:
        """Its process; while it is down from the fault before, that is waited for: a fault that is counted is done."""
        return _once_up(lambda: self.stage.supervisor.pids().get(name))

    @staticmethod
    def held_by(stage: Stage, worker: str) -> dict[str, str]:
        """Records of what a worker runs, jobs and segments → their tokens."""
        keys, found = stage.keys, {}
        try:
            with stage.redis() as client:
                records = [keys.job(job_id) for job_id in client.zrange(keys.job_leases(), 0, -1)]
                records += [keys.segment(key) for key in client.zrange(keys.segment_leases(), 0, -1)]
                for record in records:
                    holder, token = client.hmget(record, "worker", "token")
                    if holder is not None and holder.split("@")[0] == worker:
                        found[record] = str(token)
        except redis.RedisError:
            return {}
        return found

    @staticmethod
    def has_moved(stage: Stage, record: str, token: str) -> bool:
        try:
            with stage.redis() as client:
                status, now = client.hmget(record, "status", "token")
        except redis.RedisError:
            return False
        return status is None or status in {"done", "failed", "cancelled"} or (status == "running" and now != token)

    def _watch(self, fault: Fault, recovered: Callable[[], object]) -> None:
        """Note how long it took, without holding up the next fault."""
        began = time.monotonic()

        def look() -> None:
            if eventually(recovered, RECOVERED_WITHIN_S):
                fault.recovery_s = round(time.monotonic() - began, 2)

        thread = threading.Thread(target=look, name=f"recovery of {fault.kind}")
        thread.start()
        self._watching.append(thread)


def _once_up(found: Callable[[], Found | None]) -> Found:
    give_up_at = time.monotonic() + RECOVERED_WITHIN_S
    while not (there := found()):
        if time.monotonic() > give_up_at:
            raise TimeoutError("what is to be broken does not come up")
        time.sleep(LOOK_S)
    return there


def _signal(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)


@contextlib.contextmanager
def _frozen(pid: int) -> Iterator[None]:
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)
