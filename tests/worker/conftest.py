"""A runtime over the in-memory stores and the fake engine, with a clock that the test turns."""

import threading
from collections.abc import Callable, Iterator

import pytest
from fake_engine import FakeEngine
from line import Line
from patience import clip

from contract.queues import QueueName, TaskName
from contract.schemas import Job, JobStatus, SpeechRequest, Voice
from contract.settings import JobSettings, Settings
from contract.stores.interfaces import Stores
from contract.stores.memory import memory_stores
from contract.stores.opening import open_stores
from worker.clocks import Clocks
from worker.devices import Compute
from worker.runtime import Runtime

HEARTBEAT_S = 0.02


class TurnedClock:
    """Unix seconds that stand still until the test turns them."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def turn(self, seconds: float) -> None:
        self.now_s += seconds


class Sent(list[tuple[TaskName, str]]):
    """Messages that would go to the broker."""

    def __call__(self, task: TaskName, identifier: str, _queue: QueueName, _request_id: str | None) -> None:
        self.append((task, identifier))


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def settings() -> Settings:
    return Settings(jobs=JobSettings(heartbeat_s=HEARTBEAT_S, sweep_s=3600.0))


@pytest.fixture
def stores(settings: Settings, clock: TurnedClock) -> Stores:
    return memory_stores(settings, clock=clock)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def either_stores(request, settings, clock, monkeypatch, tmp_path) -> Stores:
    """In memory, then real Redis with files; a module whose tests hold for both calls this its `stores`."""
    monkeypatch.chdir(tmp_path)  # where the files of the second lie
    if request.param == "memory":
        return memory_stores(settings, clock=clock)
    return open_stores(request.getfixturevalue("redis_settings"), clock=clock)


@pytest.fixture
def sent() -> Sent:
    return Sent()


def to_the_end(built: Runtime) -> Callable[..., None]:
    """`synthesize` that waits for jobs which are joined without a thread."""
    begin = built.synthesize

    def synthesize(job_id: str, **options: object) -> None:
        begin(job_id, **options)
        assert built.joiners.wait_until_gone(job_id, 30)

    return synthesize


@pytest.fixture
def lines() -> list[Line]:
    """Of every worker to its stores."""
    return []


@pytest.fixture
def make_runtime(settings, stores, sent, clock, lines) -> Iterator[Callable[..., Runtime]]:
    made: list[Runtime] = []

    def make(engine: FakeEngine | None = None, *, name: str = "worker0", **options: object) -> Runtime:
        engine = engine or FakeEngine()
        engine.start()
        lines.append(Line())
        built = Runtime(
            options.pop("settings", settings),
            lines[-1].to(options.pop("stores", stores)),
            engine,
            name=name,
            compute=Compute("cpu", "fp32"),
            send=sent,
            clocks=Clocks(unix_s=clock),
            **options,
        )
        built.leases.start()
        built.joiners.start()
        built.synthesize, built.line = to_the_end(built), lines[-1]
        built.renderers.start()  # the other threads would make time and messages hard to foresee
        made.append(built)
        return built

    yield make
    for built in made:
        built.line.thaw()
        if isinstance(built.engine, FakeEngine):
            built.engine.gate.set()
        built.stop()


@pytest.fixture
def runtime(make_runtime) -> Runtime:
    return make_runtime()


@pytest.fixture
def voice(stores) -> Voice:
    """A registered voice that nobody prepared yet."""
    stores.blobs.put("voices/anna/v1/clip", clip())
    return stores.voices.create(Voice(id="anna", name="Anna", clip_blob="voices/anna/v1/clip"))


@pytest.fixture
def submit(stores, voice) -> Callable[..., Job]:
    """Create a queued job as the API does."""
    count = 0

    def make(text: str = "Hello there", *, request: dict[str, object] | None = None, **fields: object) -> Job:
        nonlocal count
        count += 1
        wanted = SpeechRequest(**{"text": text, "voice_id": voice.id} | (request or {}))
        return stores.jobs.create(Job(id=f"job_{count}", request=wanted, **fields)).job

    return make


@pytest.fixture
def in_background(lines) -> Iterator[Callable[..., threading.Thread]]:
    """Run a task on a thread of its own, as Celery's pool does."""
    started: list[threading.Thread] = []

    def run(function: Callable[..., object], *args: object) -> threading.Thread:
        thread = threading.Thread(target=function, args=args)
        thread.start()
        started.append(thread)
        return thread

    yield run
    for line in lines:
        line.thaw()
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def status(stores) -> Callable[[Job], JobStatus]:
    def find(job: Job) -> JobStatus:
        return stores.jobs.get(job.id).status

    return find


@pytest.fixture
def lose(clock, settings) -> Callable[[Runtime], None]:
    """From now on nothing of the worker reaches the store, as if it had been stopped, and its leases have run out.

    `worker.line.thaw()`: it was not dead after all.
    """

    def lose(worker: Runtime) -> None:
        worker.line.freeze()
        clock.turn(settings.jobs.lease_s + 1)

    return lose


@pytest.fixture
def watched(make_runtime):
    """`watched(name)`: a worker with every thread it has in production but the sweep."""

    def make(name: str = "worker0", engine: FakeEngine | None = None, **options):
        built = make_runtime(engine, name=name, **options)
        built._events.start()
        return built

    return make
