"""Every query of the dashboards and the alert rules asks for metrics, labels and values that exist."""

import json
import re

import pytest
import yaml
from prometheus_client import CollectorRegistry

from contract.canary import CanaryVerdict
from contract.metrics import Metrics
from contract.schemas import WorkerState
from contract.settings import Settings
from contract.stores.memory import memory_stores
from contract.telemetry import Metric
from monitor.service_facts import ServiceFacts
from tests.watched_queries import DASHBOARDS, ROOT, RULES, Query, grouped, queries, selectors

PER_SERIES = ("_bucket", "_sum", "_count")


def labels_of() -> dict[str, set[str]]:
    """Labels by metric, as the code declares them: the processes' own families, and those from Redis."""
    found: dict[str, set[str]] = {}
    metrics = Metrics(CollectorRegistry())
    for family in vars(metrics).values():
        if hasattr(family, "_labelnames"):
            kind, name = type(family).__name__, family._name
            names = {f"{name}_total"} if kind == "Counter" else {name}
            if kind == "Histogram":
                names = {name + end for end in PER_SERIES}
            for each in names:
                found[each] = set(family._labelnames) | ({"le"} if each.endswith("_bucket") else set())
    stores = memory_stores(Settings())
    stores.workers.heartbeat(
        WorkerState(
            "w", 1, "h", "cuda:0", "fp16", True, gpu_utilization=0.5, memory_used_bytes=1, rtf=1, audio_s_per_s=1
        ),
        ttl_s=60,
    )
    stores.canary.post(CanaryVerdict(True, 1.0, 1.0, checks={"level_db": -20.0}), ttl_s=60)
    for family in ServiceFacts(stores).collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


LABELS = labels_of()


def test_every_metric_has_a_name_in_the_contract_and_the_other_way_round():
    series = {re.sub(r"(_bucket|_sum|_count)$", "", name) for name in LABELS}

    assert series == {metric.value for metric in Metric}


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: f"{query.where}: {query.expr}")
def test_every_query_asks_for_what_there_is(query: Query):
    asked = selectors(query.expr)
    assert asked, query.where
    for selector in asked:
        assert selector.metric in LABELS, f"no metric {selector.metric}"
        assert selector.labels <= LABELS[selector.metric]
    assert grouped(query.expr) <= set().union(*(LABELS[selector.metric] for selector in asked))


def test_every_metric_is_on_a_dashboard():
    shown = {name for query in queries() for name in re.findall(r"megatts3_\w+", query.expr)}
    shown = {re.sub(r"(_bucket|_sum|_count)$", "", name) for name in shown}

    assert {metric.value for metric in Metric} - shown == set()


def test_codes_in_the_rules_are_error_codes():
    from contract.errors import ErrorCode

    text = RULES.read_text()
    codes = re.search(r'code=~"([^"]+)"', text)[1].split("|")
    assert set(codes) <= {code.value for code in ErrorCode}


def test_dashboards_are_of_one_source_and_have_names_of_their_own():
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    uid = source["datasources"][0]["uid"]

    assert len({board["uid"] for board in boards}) == len(boards) == 2
    assert {panel["datasource"]["uid"] for board in boards for panel in board["panels"]} == {uid}
