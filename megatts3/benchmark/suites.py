"""What is measured, in which order: contenders by turns in one run, so that a busy machine is busy for all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from statistics import mean

import torch

from megatts3 import processor
from megatts3.benchmark import contender as who
from megatts3.benchmark import texts
from megatts3.benchmark.ceiling import matrix_ceiling, request_operations
from megatts3.benchmark.contender import Contender, Ours
from megatts3.benchmark.figures import Cell, cell
from megatts3.benchmark.judged import Judged, cliff, first_audio, judged, padding, ratio, scheduler
from megatts3.benchmark.load import Window, closed_loop, offered_load
from megatts3.benchmark.request import BenchRequest, requests
from megatts3.benchmark.subject import Subject, installed, official_size, text_of_s
from megatts3.engine.config import EngineConfig
from megatts3.sampling.params import SamplingParams

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
SIDE_BY_SIDE_CLIENTS = 16
AGAIN_CLIENTS = 4
OFFERED_SHARES = (0.3, 0.6, 0.8, 0.95)  # of what the closed loop showed to be possible
PAGE_CHARACTERS = 1_000
OFFICIAL_REQUEST_S, OFFICIAL_STEPS = 10.0, 4
_WARM_UP_TEXTS = ("Good morning.", "早上好。")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Setup:
    """rounds: how often the contenders take turns under the same load; steps: None for each subject's usual number"""

    checkpoint: Path
    engine: EngineConfig
    steps: int = 32
    voices: int = 4
    rounds: int = 2
    seed: int = 1
    contenders: tuple[str, ...] = (who.OURS, who.OURS_BF16, who.REFERENCE, who.BASELINE)


@dataclass
class Findings:
    """cells: by section; a section is a subject under one kind of load"""

    conditions: dict[str, object] = field(default_factory=dict)
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """Bounds that were missed, and sound that was not what was planned."""
        missed = [f"{j.name}: {j.value:.2f}" for j in self.judged if j.must_reached is False]
        return missed + [f"{c.contender}, {w}" for cells in self.cells.values() for c in cells for w in c.wrong]


class Bench:
    """One subject with its contenders, loaded and warm."""

    def __init__(self, subject: Subject, setup: Setup, say: Say) -> None:
        self.subject, self.setup, self.say = subject, setup, say
        device = setup.engine.device
        self._ceilings = {name: matrix_ceiling(device, _dtype(name, setup)) for name in setup.contenders}
        make: dict[str, Callable[[], Contender]] = {
            who.OURS: lambda: Ours.of(subject, setup.engine),
            who.OURS_BF16: lambda: Ours.of(subject, replace(setup.engine, precision="bf16"), who.OURS_BF16),
            who.REFERENCE: lambda: who.reference(subject),
            who.BASELINE: lambda: who.upstream_way(subject),
        }
        self.contenders = {name: make[name]() for name in setup.contenders}

    def ask(self, said: Sequence[str], steps: int | None = None) -> list[BenchRequest]:
        """Requests of some texts, voices by turns."""
        params = SamplingParams(steps=steps or self.setup.steps, seed=self.setup.seed)
        return requests(self.subject, said, self.subject.voices, params)

    def warm_up(self, asked: Sequence[BenchRequest]) -> None:
        """Each contender speaks them once, off the clock."""
        for contender in self.contenders.values():
            closed_loop(contender, asked, len(asked))

    def closed(self, asked: Sequence[BenchRequest], clients: int, names: Sequence[str], rounds: int) -> list[Cell]:
        """The same requests for all, contenders by turns in each round."""
        windows: dict[str, list[Window]] = {name: [] for name in names}
        meanwhile: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                with self._watching(name, meanwhile[name]):
                    windows[name].append(closed_loop(self.contenders[name], asked, clients))
        return [self._cell(name, "closed", clients, windows[name], meanwhile[name], asked) for name in names]

    def offered(self, asked: Sequence[BenchRequest], name: str, per_second: float) -> Cell:
        """Requests that come when they like, to one contender."""
        meanwhile: list[float] = []
        with self._watching(name, meanwhile):
            window = offered_load(self.contenders[name], asked, per_second, self.setup.seed)
        return self._cell(name, "offered", per_second, [window], meanwhile, asked)

    def close(self) -> None:
        for contender in self.contenders.values():
            contender.close()

    @contextmanager
    def _watching(self, name: str, found: list[float]) -> Iterator[None]:
        """What the machine can do before and after: a later load is also a later time."""
        device, dtype = self.setup.engine.device, _dtype(name, self.setup)
        found.append(matrix_ceiling(device, dtype))
        yield
        found.append(matrix_ceiling(device, dtype))

    def _cell(
        self,
        name: str,
        mode: str,
        load: float,
        windows: Sequence[Window],
        meanwhile: Sequence[float],
        asked: Sequence[BenchRequest],
    ) -> Cell:
        operations = len(windows) * request_operations(self.subject.networks.dit.config, asked)
        threads = torch.get_num_threads()
        found = cell(
            name,
            mode,
            load,
            windows,
            operations=operations,
            ceiling=self._ceilings[name],
            ceiling_meanwhile=mean(meanwhile),
            threads=threads,
        )
        self.say(
            f"{self.subject.name}, {mode} {load:g}, {name}: {found.audio_per_s:.2f} s of sound a second,"
            f" {found.processor_per_audio_s:.3f} s of processor each, p95 {found.latency_p95:.2f} s,"
            f" first audio p50 {found.first_audio_p50:.2f} s, machine {100 * found.machine_share:.0f} %"
        )
        return found


def short(setup: Setup, say: Say) -> Findings:
    """The two ratios on the installed checkpoint, 16 clients, in under three minutes."""
    findings = Findings(conditions(setup))
    with _bench(installed(setup.checkpoint, setup.engine.device, setup.voices), setup, say) as bench:
        said = list(islice(texts.mixed_texts(setup.seed, texts.SHORT_LENGTHS), SIDE_BY_SIDE_CLIENTS))
        cells = bench.closed(bench.ask(said), SIDE_BY_SIDE_CLIENTS, setup.contenders, setup.rounds)
    findings.cells["side by side"] = cells
    findings.judged = _ratios(cells)
    return findings


def full(setup: Setup, say: Say, *, clients: Sequence[int] = CLIENTS, official: bool = True) -> Findings:
    """Everything."""
    findings = Findings(conditions(setup))
    with _bench(installed(setup.checkpoint, setup.engine.device, setup.voices), setup, say) as bench:
        _installed(bench, findings, clients)
    if official:
        _official(setup, say, findings)
    findings.conditions["load of the machine at the end"] = round(os.getloadavg()[0], 1)
    return findings


def _installed(bench: Bench, findings: Findings, clients: Sequence[int]) -> None:
    setup = bench.setup
    endless = texts.mixed_texts(setup.seed)  # no text is ever asked for twice
    side = bench.ask(list(islice(endless, 2 * SIDE_BY_SIDE_CLIENTS)))
    findings.cells["side by side"] = sides = bench.closed(side, SIDE_BY_SIDE_CLIENTS, setup.contenders, setup.rounds)
    ours = max((c for c in sides if c.contender in who.OUR_NAMES), key=lambda c: c.audio_per_s).contender
    loads = findings.cells["latency against load"] = []
    for count in clients:
        asked = bench.ask(list(islice(endless, max(8, 2 * count))))
        loads += bench.closed(asked, count, setup.contenders if count == 1 else (ours,), 1)
    # Throughput may fall with the clients, or with the time that has passed: few clients once more tell which.
    again = bench.ask(list(islice(endless, 4 * AGAIN_CLIENTS)))
    findings.cells["few clients again, after many"] = bench.closed(again, AGAIN_CLIENTS, (ours,), 1)
    most = max(c.audio_per_s for c in loads if c.contender == ours)
    offers = findings.cells["offered load"] = []
    for share in OFFERED_SHARES:
        asked = bench.ask(list(islice(endless, 2 * SIDE_BY_SIDE_CLIENTS)))
        request_s = sum(request.expected_s for request in asked) / len(asked)
        offers.append(bench.offered(asked, ours, share * most / request_s))
    pages = bench.ask([texts.page(PAGE_CHARACTERS, setup.seed + number) for number in range(3)])
    names = [name for name in setup.contenders if name != who.BASELINE]  # it gives nothing before the end
    findings.cells["a page of text"] = page = bench.closed(pages, 1, names, 1)
    findings.judged += [
        *_ratios(sides),
        judged("padding", padding(sides)),
        judged("first audio", *first_audio(page)),
        judged("cliff", cliff(loads)),
    ]


def official(setup: Setup, say: Say) -> Findings:
    """One long request at the release's sizes, few steps."""
    findings = Findings(conditions(setup))
    _official(setup, say, findings)
    return findings


def single(setup: Setup, say: Say, *, clients: int, requests_count: int, per_second: float | None = None) -> Findings:
    """One load on the installed checkpoint: a closed loop, or with `per_second` requests at random moments."""
    findings = Findings(conditions(setup))
    with _bench(installed(setup.checkpoint, setup.engine.device, setup.voices), setup, say) as bench:
        asked = bench.ask(list(islice(texts.mixed_texts(setup.seed), requests_count)))
        if per_second is None:
            findings.cells["closed loop"] = bench.closed(asked, clients, setup.contenders, setup.rounds)
        else:
            found = [bench.offered(asked, name, per_second) for name in setup.contenders]
            findings.cells["offered load"] = found
    return findings


def _official(setup: Setup, say: Say, findings: Findings) -> None:
    subject = official_size(setup.engine.device, setup.seed)
    with _bench(subject, setup, say, warm_up=(text_of_s(0.5, 0),), steps=1) as bench:
        asked = bench.ask([text_of_s(OFFICIAL_REQUEST_S, 1)], OFFICIAL_STEPS)
        cells = bench.closed(asked, 1, setup.contenders, 1)
    findings.cells["official size"] = cells
    findings.judged += [
        judged("official", *ratio(cells, who.BASELINE, load=1)),
        judged("scheduler", scheduler(cells)),
    ]


@contextmanager
def _bench(
    subject: Subject, setup: Setup, say: Say, *, warm_up: Sequence[str] = _WARM_UP_TEXTS, steps: int | None = None
) -> Iterator[Bench]:
    bench = Bench(subject, setup, say)
    try:
        bench.warm_up(bench.ask(warm_up, steps))
        yield bench
    finally:
        bench.close()


def _ratios(cells: Sequence[Cell]) -> list[Judged]:
    return [judged(name, *ratio(cells, name, load=SIDE_BY_SIDE_CLIENTS)) for name in (who.REFERENCE, who.BASELINE)]


def conditions(setup: Setup) -> dict[str, object]:
    """Of this machine and this run."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": setup.engine.device,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision of ours": setup.engine.precision,
        "most rows of ours": setup.engine.max_rows,
        "seconds of calibration": setup.engine.calibrate_s,
        "steps": setup.steps,
        "voices": setup.voices,
        "rounds": setup.rounds,
        "load of the machine at the start": round(os.getloadavg()[0], 1),
    }


def _dtype(name: str, setup: Setup) -> torch.dtype:
    """What a contender's DiT computes in."""
    if name == who.OURS_BF16:
        return torch.bfloat16
    return _DTYPES[setup.engine.precision] if name == who.OURS else torch.float32


def does_bf16(device: str) -> bool:
    """Whether a processor multiplies bfloat16 faster than float32; a GPU's precision is chosen once, by its own."""
    return device == "cpu" and processor.multiplies_bfloat16()


def _processor() -> str:
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else processor.name()
