"""mini with its canary, watched by a real Prometheus with the shipped rules, while its speech goes bad and gets well.

`make watched`.  Not in `make test`: Prometheus is a package of the system's (PROMETHEUS_PROGRAM names it; Debian's
package `prometheus` has it).  Without it this fails: it is not skipped.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml
from live_service import ROOT, Service, eventually, parents_of_all, running
from safetensors.numpy import load_file, save

from cli.ports import free_port
from tests.watched_queries import RULES, Query, queries, selectors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(590)]
PROMETHEUS = os.environ.get("PROMETHEUS_PROGRAM") or shutil.which("prometheus") or "/usr/bin/prometheus"
SPEECH = "/api/v1/tts/synthesize"
SCRAPE_S = 1
WITHIN_S = 120.0
GRAFANAS_OWN = {"$__rate_interval": "1m"}
# What a healthy service without a GPU has no series of; everything else must be there.
ABSENT = {
    'megatts3_error_rate_errors_total{code=~"internal|synthesis_failed|worker_lost|deadline_exceeded"}',
    'megatts3_jobs_total{outcome="failed"}',
    "megatts3_gpu_utilization_ratio{}",
}


@dataclass
class Watched:
    service: Service
    weights: Path
    prometheus: str

    def ask(self, query: str) -> list[dict[str, object]]:
        answer = requests.get(f"{self.prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]["result"]

    def value(self, query: str) -> float | None:
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else None

    def alerts(self) -> dict[str, tuple[str, str]]:
        """Health and state of each alert."""
        groups = requests.get(f"{self.prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
        return {rule["name"]: (rule["health"], rule["state"]) for group in groups for rule in group["rules"]}

    def renew_workers(self) -> None:
        """As after a change of weights: each is killed, and the launcher starts it again."""
        parents = parents_of_all()
        for pid in self.service.descendants():
            command = Path(f"/proc/{pid}/cmdline").read_text()
            if parents[pid] == self.service.launcher.pid and "worker.app" in command:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    weights = folder / "mini"
    shutil.copytree(ROOT / "checkpoints/mini", weights)
    variables = {
        "MEGATTS3_METRICS_PORT": str(free_port()),
        "MEGATTS3_MONITORING_CANARY_INTERVAL": "5",
        "MEGATTS3_MONITORING_HEALTH_CHECK_INTERVAL": "2",
    }
    options = ["--workers", "2", "--devices", "cpu,cpu"]
    with running(folder, weights, options, variables) as service:
        port = free_port()
        target = str(service.facts["metrics_url"]).removeprefix("http://").removesuffix("/metrics")
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "megatts3", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        argv = [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen([*argv, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            seen = Watched(service, weights, f"http://127.0.0.1:{port}")
            eventually(lambda: answers(f"{seen.prometheus}/-/ready"), WITHIN_S)
            yield seen
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def exercise(service: Service) -> None:
    """A little of everything: new and cached audio, a refused request, jobs of both priorities."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: service.synthesize(f"Number {n}, spoken to be counted."), [1, 2, 3, 3]))
    service.synthesize("Number 3, spoken to be counted.")
    service.post(SPEECH, json={"text": ""})
    for priority in ("interactive", "batch"):
        job = service.post("/api/v1/jobs", json={"text": f"A job that is {priority}.", "priority": priority}).json()
        eventually(lambda job=job: service.job(job["id"])["status"] == "done", WITHIN_S)


def test_every_query_finds_its_series_and_a_value_and_no_alert_fires(watched: Watched):
    eventually(lambda: watched.value("megatts3_canary_ok") == 1, WITHIN_S)
    exercise(watched.service)
    time.sleep(3 * SCRAPE_S)  # a rate needs two scrapes
    exercise(watched.service)
    eventually(lambda: watched.value("sum(rate(megatts3_jobs_total[1m]))"), WITHIN_S)

    missing: list[str] = []
    for query in queries():
        missing += [f"{query.where}: {s.text}" for s in selectors(query.expr) if not is_there(watched, s.text)]
        if query.where.startswith(RULES.name) or any(s.text in ABSENT for s in selectors(query.expr)):
            continue  # an alert's own answer is empty while all is well
        if not watched.ask(ready_to_ask(query)):
            missing.append(f"{query.where}: no value")
    assert missing == []
    for text in ABSENT:
        assert not watched.ask(text), f"{text} is there: take it off the list"
    alerts = watched.alerts()
    assert {health for health, _ in alerts.values()} == {"ok"}
    assert {name for name, (_, state) in alerts.items() if state == "firing"} == set()


def is_there(watched: Watched, selector: str) -> bool:
    return selector in ABSENT or bool(watched.ask(selector))


def ready_to_ask(query: Query) -> str:
    expr = query.expr
    for name, value in GRAFANAS_OWN.items():
        expr = expr.replace(name, value)
    return expr


def test_readiness_goes_off_when_speech_goes_bad_and_comes_back_when_it_is_good_again(watched: Watched):
    """The decoder is made to hum under the running service and the workers are renewed; then it is mended."""
    url = watched.service.url
    eventually(lambda: watched.value("megatts3_canary_ok") == 1, WITHIN_S)
    assert 0 < watched.value("megatts3_canary_latency_seconds") < WITHIN_S
    assert watched.value('megatts3_canary_check{check="movement_db"}') > 8
    assert requests.get(f"{url}/health/ready", timeout=10).status_code == 200
    file = watched.weights / "wavvae/model.safetensors"
    good = file.read_bytes()
    file.write_bytes(monotonous(file))
    watched.renew_workers()

    eventually(lambda: watched.value("megatts3_canary_ok") == 0, WITHIN_S)
    eventually(lambda: requests.get(f"{url}/health/ready", timeout=10).status_code == 503, WITHIN_S)
    eventually(lambda: "canary" in requests.get(f"{url}/health", timeout=10).json().get("reason", ""), WITHIN_S)
    eventually(lambda: watched.alerts()["MegaTTS3SpeechIsBad"][1] in {"pending", "firing"}, WITHIN_S)
    eventually(lambda: watched.alerts()["MegaTTS3NotReady"][1] in {"pending", "firing"}, WITHIN_S)
    assert watched.value('megatts3_canary_check{check="movement_db"}') < 8

    file.write_bytes(good)
    watched.renew_workers()
    eventually(lambda: requests.get(f"{url}/health/ready", timeout=10).status_code == 200, WITHIN_S)
    eventually(lambda: watched.value("megatts3_canary_ok") == 1, WITHIN_S)
    eventually(lambda: watched.alerts()["MegaTTS3SpeechIsBad"][1] == "inactive", WITHIN_S)


def monotonous(file: Path) -> bytes:
    """The weights with a decoder whose sound never changes."""
    tensors = load_file(file)
    tensors["decoder.filter_head.weight"] = tensors["decoder.filter_head.weight"] * 0
    return save(tensors)
