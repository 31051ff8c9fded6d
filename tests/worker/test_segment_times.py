"""Where the time of a job went whose segments several workers rendered: a span for each stage of each segment."""

import contextlib
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import pytest

from contract.schemas import JobStatus, Priority
from contract.tracing import Attribute

LINES = [f"This is sentence number {n}" for n in range(5)]
BOOK = ". ".join(LINES)
REQUEST = {"seed": 7, "cache": False}


class Recorded:
    """Tracing that keeps what it is told: name, whose stage it is, beginning, end, attributes."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str, float, float, dict[str, Attribute]]] = []
        self._open: list[str] = []

    @contextlib.contextmanager
    def span(self, name: str, *, parent: str | None = None, **_: Attribute) -> Iterator[None]:
        del parent
        self._open.append(name)
        yield
        self._open.pop()

    def begin(self, name: str):
        def within():
            return self.span(name)

        return SimpleNamespace(within=within, end=lambda: None)

    def record(self, name: str, began_at: float, ended_at: float, **attributes: Attribute) -> None:
        self.stages.append((self._open[-1], name, began_at, ended_at, attributes))

    def close(self) -> None: ...


@pytest.fixture
def traced(make_runtime):
    def make(name: str):
        tracing = Recorded()
        built = make_runtime(name=name, tracing=tracing)
        built._events.start()
        return built, tracing

    return make


def test_every_segment_has_its_stages_and_says_who_rendered_it(traced, stores, submit):
    runtime, tracing = traced("w0")
    job = submit(BOOK, request=REQUEST, priority=Priority.BATCH)

    runtime.synthesize(job.id)

    assert stores.jobs.get(job.id).status is JobStatus.DONE
    of_segments = [stage for stage in tracing.stages if "segment" in stage[4]]
    assert {stage[0] for stage in of_segments} == {"engine"}
    for index in range(len(LINES)):
        mine = [stage for stage in of_segments if stage[4]["segment"] == index]
        assert [name for _, name, *_ in mine] == ["queue", "prepare", "steps", "decode"]
        assert {stage[4]["worker"] for stage in mine} == {"w0"}
        moments = [moment for _, _, began, ended, _ in mine for moment in (began, ended)]
        assert all(later - earlier > -0.001 for earlier, later in pairwise(moments))  # two clocks
    spent = stores.jobs.get(job.id).result.stages_ms
    assert {"prepare", "steps", "decode", "join", "encode"} <= spent.keys()
    assert "queue" not in spent  # the job's own wait is told elsewhere


def test_what_was_rendered_before_the_job_came_is_no_time_of_its(traced, stores, submit):
    runtime, tracing = traced("w0")
    runtime.synthesize(submit(BOOK, request={"seed": 7}, priority=Priority.BATCH).id)
    tracing.stages.clear()

    again = submit(BOOK + ". And one more sentence", request={"seed": 7}, priority=Priority.BATCH)
    runtime.synthesize(again.id)

    result = stores.jobs.get(again.id).result
    told = {stage[4]["segment"] for stage in tracing.stages if "segment" in stage[4]}
    assert result.segments_reused >= len(LINES) - 1
    assert told == set(range(result.segments_reused, result.segments))
