"""When a worker process must go, and when it must not."""

import threading
import time

import pytest
from fake_engine import FakeEngine
from patience import eventually

from contract.errors import ErrorCode, ServiceError
from worker.housekeeping import Housekeeping
from worker.watchdog import Watchdog, memory_limit


class Left(list[int]):
    """Exit statuses; `drained` counts orders to drain."""

    drained = 0

    def drain(self) -> None:
        self.drained += 1


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.start()
    return engine


@pytest.fixture
def left() -> Left:
    return Left()


@pytest.fixture
def watchdog(engine, left):
    return Watchdog(
        engine,
        "worker0",
        stuck_after_s=120.0,
        max_memory_bytes=1000,
        leave=left.append,
        drain=left.drain,
        resident_bytes=lambda: 1000,
    )


def test_a_worker_that_is_well_stays(watchdog, engine, left):
    engine.stalled_s = 119.0
    watchdog.look()
    assert (left, left.drained) == ([], 0)


def test_a_hung_engine_ends_the_process(watchdog, engine, left):
    engine.stalled_s = 121.0
    watchdog.look()
    assert left == [70]


def test_too_much_memory_drains_the_worker_once(watchdog, left):
    watchdog.resident_bytes = lambda: 1001
    watchdog.look()
    watchdog.look()
    assert (left, left.drained) == ([], 1)


def test_a_worker_that_drains_may_stop_its_engine(watchdog, engine, left):
    watchdog.resident_bytes = lambda: 1001
    watchdog.look()
    engine.stop()
    watchdog.look()
    assert left == []


def test_the_limit_is_the_settings_own_else_a_share_of_the_containers(tmp_path):
    new, old = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    assert memory_limit(123, (new,)) == 123
    assert memory_limit(None, (new, old)) is None
    new.write_text("max\n")
    old.write_text(f"{2**63 - 4096}\n")
    assert memory_limit(None, (new, old)) is None
    new.write_text("1000\n")
    assert memory_limit(None, (new, old)) == 900


def test_a_hung_engine_takes_the_worker_with_it_and_not_while_it_loads(make_runtime):
    left: list[int] = []
    runtime = make_runtime(leave=left.append)
    runtime.engine.stalled_s = 10_000.0
    runtime._watch_engine()
    assert left == []
    runtime.presence.is_ready(runtime.engine.capabilities, runtime.engine.revision)
    runtime._watch_engine()
    assert left == [70]


def test_a_long_sweep_does_not_keep_a_worker_from_saying_that_it_lives(runtime):
    beats, sweeping, swept = threading.Semaphore(0), threading.Event(), threading.Event()

    class Registry:
        def heartbeat(self, *_: object, **__: object) -> None:
            beats.release()

        def remove(self, _name: str) -> None: ...

    def sweep() -> None:
        sweeping.set()
        assert swept.wait(20)

    keeping = Housekeeping(
        Registry(),
        describe=runtime.presence.describe,
        sweep=sweep,
        sweep_buried=lambda: None,
        after_outage=lambda _: None,
        watch_engine=lambda: None,
        every_s=0.001,
        sweep_every_s=2.0,
        ttl_s=15.0,
        grace_s=9.0,
        clock=time.monotonic,
    )
    keeping.start()
    assert sweeping.wait(10)
    while beats.acquire(blocking=False):
        pass
    for _ in range(3):
        assert beats.acquire(timeout=10)
    swept.set()
    keeping.stop()


def test_after_the_store_was_away_one_lease_passes_before_the_next_sweep(runtime, stores):
    """No worker could renew while it was away: what ran out then is nobody's death."""
    now, swept, buried, doubted, beats = [0.0], [], [], [], threading.Semaphore(0)
    away = threading.Event()

    class Registry:
        def heartbeat(self, *_: object, **__: object) -> None:
            beats.release()
            if away.is_set():
                raise ServiceError(ErrorCode.STORE_UNAVAILABLE)

        def remove(self, _name: str) -> None: ...

    keeping = Housekeeping(
        Registry(),
        describe=runtime.presence.describe,
        sweep=lambda: swept.append(now[0]),
        sweep_buried=lambda: buried.append(now[0]),
        after_outage=doubted.append,
        watch_engine=lambda: None,
        every_s=0.001,
        sweep_every_s=2.0,
        ttl_s=15.0,
        grace_s=9.0,
        clock=lambda: now[0],
    )
    away.set()
    now[0] = 5.0
    keeping.start()
    assert beats.acquire(timeout=10)
    assert beats.acquire(timeout=10)
    away.clear()
    for _ in range(3):
        assert beats.acquire(timeout=10)
    assert doubted == [5.0], "messages that were sent before it was last seen, once"
    assert swept == []
    assert buried, "who is known to have ended is no matter of leases"
    now[0] = 14.0
    eventually(lambda: swept == [14.0])
    keeping.stop()
