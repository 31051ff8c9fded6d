"""What the canary found: the sentence that is spoken every few minutes to hear whether speech is still speech."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CanaryVerdict:
    """The last sentence that was judged.  `checks`: figure by name, each with what was heard."""

    ok: bool
    at: float  # Unix seconds
    latency_s: float
    failures: int = 0  # in a row, this one included
    runs: int = 1
    reason: str = ""  # why not, in a few words; never the text
    worker: str = ""  # who spoke it
    checks: Mapping[str, float] = field(default_factory=dict)
    unready_after: int = 2  # so many failures in a row turn readiness off

    @property
    def speech_is_bad(self) -> bool:
        return not self.ok and self.failures >= self.unready_after


def verdict_fields(verdict: CanaryVerdict) -> dict[str, str]:
    """As a Redis hash."""
    return {
        "ok": str(int(verdict.ok)),
        "at": f"{verdict.at:.3f}",
        "latency_s": f"{verdict.latency_s:.3f}",
        "failures": str(verdict.failures),
        "runs": str(verdict.runs),
        "reason": verdict.reason,
        "worker": verdict.worker,
        "checks": json.dumps(dict(verdict.checks)),
        "unready_after": str(verdict.unready_after),
    }


def verdict_from_fields(fields: Mapping[str, str]) -> CanaryVerdict:
    """The opposite; unknown fields are passed over."""
    return CanaryVerdict(
        ok=fields["ok"] == "1",
        at=float(fields["at"]),
        latency_s=float(fields["latency_s"]),
        failures=int(fields.get("failures", 0)),
        runs=int(fields.get("runs", 1)),
        reason=fields.get("reason", ""),
        worker=fields.get("worker", ""),
        checks={name: float(value) for name, value in json.loads(fields.get("checks", "{}")).items()},
        unready_after=int(fields.get("unready_after", 2)),
    )
