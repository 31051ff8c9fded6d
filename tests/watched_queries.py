"""Every query that ships, and what it asks for: of the dashboards' panels and of the alert rules."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = ROOT / "deploy/prometheus/alerts.yml"


class Query(NamedTuple):
    where: str
    expr: str


class Selector(NamedTuple):
    """`megatts3_x{label="value"}`, the range left out."""

    metric: str
    matchers: str  # as written, without the braces
    labels: frozenset[str]

    @property
    def text(self) -> str:
        return f"{self.metric}{{{self.matchers}}}"


def queries() -> Iterator[Query]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield Query(f"{path.name}: {panel['title']}", target["expr"])
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield Query(f"{RULES.name}: {rule['alert']}", rule["expr"])


def selectors(expr: str) -> list[Selector]:
    found = re.findall(r"(megatts3_\w+)(?:\{([^}]*)\})?", expr)
    return [Selector(name, how, frozenset(re.findall(r"(\w+)\s*[=!]~?", how))) for name, how in found]


def grouped(expr: str) -> set[str]:
    """Labels it sums by."""
    return {label for group in re.findall(r"\bby \(([^)]*)\)", expr) for label in re.split(r",\s*", group)}
