"""What the doctor says of one thing: ok, warn or fail, what was seen, and what helps."""

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    subject: str
    verdict: Verdict
    seen: str
    remedy: str = ""

    def line(self) -> str:
        text = f"{self.verdict.value:<4}  {self.subject:<11} {self.seen}"
        return f"{text}\n      → {self.remedy}" if self.remedy else text


def ok(subject: str, seen: str) -> Finding:
    return Finding(subject, Verdict.OK, seen)


def warn(subject: str, seen: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.WARN, seen, remedy)


def fail(subject: str, seen: str, remedy: str) -> Finding:
    return Finding(subject, Verdict.FAIL, seen, remedy)
