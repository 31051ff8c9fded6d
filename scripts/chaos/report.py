"""The verdict and the figures, as JSON for machines and Markdown for people."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scripts.chaos.faults import Fault
from scripts.chaos.ledger import Ledger
from scripts.chaos.mini import MiniReport
from scripts.chaos.poison_voices import too_deadly
from scripts.chaos.watch import Slope

SLOW_S = 5.0


@dataclass(frozen=True)
class Report:
    """What one run showed.  Recovery in seconds; slopes in bytes a minute."""

    seed: int
    seconds: float
    accepted: int
    done: int
    failed: dict[str, int]
    failed_innocent: int
    cancelled: int
    lost: list[str]
    doubled: list[str]
    swapped: list[str]
    surprises: dict[str, int]
    refusals: dict[str, int]
    cache: dict[str, int]
    faults: dict[str, int]
    recovery_p50_s: dict[str, float]
    recovery_p95_s: dict[str, float]
    unrecovered: list[str]
    segments_computed: int
    segments_computed_again: int
    slopes: list[Slope]
    leaks: dict[str, str] = field(default_factory=dict)
    history: list[Fault] = field(default_factory=list)  # in the order in which they were done
    mini: MiniReport | None = None  # the part with real weights

    @property
    def is_good(self) -> bool:
        if self.mini is not None and not self.mini.is_good:
            return False
        return not (self.lost or self.doubled or self.swapped or self.surprises)


def make_report(
    ledger: Ledger,
    faults: Sequence[Fault],
    *,
    seed: int,
    spoken_log: Path,
    slopes: list[Slope],
    leaks: dict[str, str] | None = None,
) -> Report:
    done = [e for e in ledger.accepted if e.outcome == "done" and e.audio == "right"]
    times: dict[str, list[float]] = {}
    for fault in faults:
        if fault.recovery_s is not None and (fault.held or "worker" not in fault.kind):
            times.setdefault(fault.kind, []).append(fault.recovery_s)
    watched = {"kill_worker", "term_worker", "freeze_worker", "kill_redis", "restart_redis", "kill_api_process"}
    spoken = Counter(spoken_log.read_text(encoding="ascii").splitlines()) if spoken_log.exists() else Counter()
    parts = Counter(" ".join(line.split()[:3]) for line in spoken.elements())
    return Report(
        seed=seed,
        seconds=round(ledger.now_s(), 1),
        accepted=len(ledger.accepted),
        done=len(done),
        failed=dict(Counter(e.reason for e in ledger.accepted if e.outcome == "failed")),
        failed_innocent=len(ledger.failed_innocent),
        cancelled=sum(e.outcome == "cancelled" for e in ledger.accepted),
        lost=[f"{e.kind} {e.number} {e.job_id} {e.outcome or 'open'} {e.reason}" for e in ledger.lost],
        doubled=[*ledger.doubled, *(f"{job} was announced as done twice" for job in ledger.twice_ended())],
        swapped=[f"{e.kind} {e.number} {e.job_id} {e.audio} {e.reason}" for e in ledger.swapped],
        surprises=dict(ledger.surprises) | too_deadly(spoken_log),
        refusals=dict(ledger.refusals),
        cache=dict(Counter(e.cache for e in ledger.entries if e.cache)),
        faults=dict(Counter(fault.kind for fault in faults)),
        recovery_p50_s={kind: round(statistics.median(found), 2) for kind, found in sorted(times.items())},
        recovery_p95_s={kind: percentile(found, 95) for kind, found in sorted(times.items())},
        unrecovered=[
            f"{f.kind} {f.target} at {f.at_s:.0f} s" for f in faults if f.kind in watched and f.recovery_s is None
        ],
        segments_computed=sum(parts.values()),
        segments_computed_again=sum(parts.values()) - len(parts),
        slopes=slopes,
        leaks=leaks or {},
        history=list(faults),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: a value that was measured."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share) // 100) - 1)]


def write(report: Report, folder: Path, name: str) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    machine, person = folder / f"{name}.json", folder / f"{name}.md"
    machine.write_text(json.dumps(asdict(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    person.write_text(as_markdown(report), encoding="utf-8")
    return machine, person


def as_markdown(report: Report) -> str:
    rows = [
        ("seed", report.seed),
        ("seconds", report.seconds),
        ("accepted", report.accepted),
        ("done, audio right", report.done),
        ("failed with reason", _counts(report.failed)),
        ("  of these not poison", report.failed_innocent),
        ("cancelled", report.cancelled),
        ("**lost**", len(report.lost)),
        ("**doubled**", len(report.doubled)),
        ("**swapped**", len(report.swapped)),
        ("surprising answers", _counts(report.surprises)),
        ("clean refusals", _counts(report.refusals)),
        ("sync answers by X-Cache", _counts(report.cache)),
        ("faults", f"{sum(report.faults.values())}: {_counts(report.faults)}"),
        ("recovery, median s", _counts(report.recovery_p50_s)),
        ("recovery, p95 s", _counts(report.recovery_p95_s)),
        ("not recovered in a minute", ", ".join(report.unrecovered) or "none"),
        ("segments computed (again)", f"{report.segments_computed} ({report.segments_computed_again})"),
    ]
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    if report.slopes:
        lines += [
            "",
            "| process | minutes | RSS at first, at last (MiB) | slope (KiB a minute) | first half, second half |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {s.name} ({s.pid}) | {s.minutes:.1f} | {s.first_bytes / 2**20:.1f}, {s.last_bytes / 2**20:.1f} "
            f"| {s.bytes_a_minute / 1024:+.1f} "
            f"| {', '.join(f'{half / 1024:+.1f}' for half in s.halves_bytes_a_minute or ()) or '-'} |"
            for s in report.slopes
        ]
    if report.leaks:
        lines += ["", "| counted | before, after |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in report.leaks.items()]
    slow = [fault for fault in report.history if (fault.recovery_s or 0) > SLOW_S]
    if slow:
        lines += ["", f"| slower than {SLOW_S:g} s | of | at s | held | recovered after s |", "|---|---|---|---|---|"]
        lines += [f"| {f.kind} | {f.target} | {f.at_s:.1f} | {f.held} | {f.recovery_s} |" for f in slow]
    if report.mini is not None:
        lines += ["", *_of_mini(report.mini)]
    details = [*report.lost, *report.doubled, *report.swapped]
    if details:
        lines += ["", *(f"- {line}" for line in details[:50])]
    return "\n".join(lines) + "\n"


def _of_mini(mini: MiniReport) -> list[str]:
    rows = [
        ("requests spoken undisturbed, and again under kills", f"{mini.spoken}, of {mini.segments} segments"),
        ("workers killed, with jobs and segments in hand", f"{mini.kills}, {mini.held_at_kills}"),
        ("recovery, s", ", ".join(f"{each:g}" for each in mini.recovery_s) or "none"),
        (
            "samples that differ, root of mean square, units of 16 bit",
            max((d.mean_units for d in mini.differences), default="-"),
        ),
        ("at most", max((d.most_units for d in mini.differences), default="-")),
        ("**wrong**", len(mini.wrong)),
    ]
    table = ["| mini | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return [*table, *([""] if mini.wrong else []), *(f"- {line}" for line in mini.wrong)]


def _counts(found: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(found.items())) or "none"
