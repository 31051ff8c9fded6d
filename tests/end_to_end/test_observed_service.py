"""What an operator sees of a running service: two API processes, two workers, one listener, one log."""

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from live_service import Service, eventually, parents_of_all, running

from cli.ports import free_port

pytestmark = pytest.mark.timeout(240)
SPEECH = "/api/v1/tts/synthesize"


@pytest.fixture(scope="module")
def observed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    variables = {"MEGATTS3_METRICS_PORT": str(free_port()), "MEGATTS3_MONITORING_CANARY_INTERVAL": "0"}
    options = ["--workers", "2", "--devices", "cpu,cpu"]
    with running(tmp_path_factory.mktemp("observed"), checkpoint, options, variables) as started:
        yield started


Series = dict[str, float]


def scrape(service: Service) -> Series:
    """Value by series, as Prometheus would see it."""
    answer = requests.get(str(service.facts["metrics_url"]), timeout=10)
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def total(series: Series, name: str, *labels: str) -> float:
    return sum(v for key, v in series.items() if re.split(r"[{ ]", key)[0] == name and all(x in key for x in labels))


def test_counts_are_exact_over_all_processes_and_outlive_a_killed_one(observed: Service):
    before = scrape(observed)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: observed.synthesize(f"Sentence {n}.", cache=False), range(12)))
    refused = [observed.post(SPEECH, json={"text": ""}) for _ in range(5)]
    assert {a.status_code for a in answers} == {200}
    assert {a.status_code for a in refused} == {422}

    def counted() -> dict[str, float]:
        now = scrape(observed)
        names = {
            "requests": ("megatts3_throughput_requests_total", f'route="{SPEECH}"'),
            "errors": ("megatts3_error_rate_errors_total", f'route="{SPEECH}"'),
            "request_seconds": ("megatts3_request_seconds_count", f'route="{SPEECH}"'),
            "first_audio": ("megatts3_time_to_first_audio_seconds_count",),
            "spoken": ("megatts3_synthesis_latency_seconds_count",),
            "waited": ("megatts3_queue_wait_seconds_count",),
            "done": ("megatts3_jobs_total", 'outcome="done"'),
        }
        return {k: total(now, *v) - total(before, *v) for k, v in names.items()}

    expected = {"requests": 17, "errors": 5, "request_seconds": 17, "first_audio": 12}
    expected |= {"spoken": 12, "waited": 12, "done": 12}
    eventually(lambda: counted() == expected, 10)

    api = int(observed.facts["pids"]["api"])
    children = [pid for pid, parent in parents_of_all().items() if parent == api]
    assert len(children) == 2
    os.kill(children[0], signal.SIGKILL)
    worker0 = int(observed.facts["pids"]["worker0"])
    os.kill(worker0, signal.SIGKILL)
    eventually(lambda: worker0 not in parents_of_all())

    assert counted() == expected
    eventually(lambda: total(scrape(observed), "megatts3_workers", 'state="ready"') == 2)
    assert observed.synthesize("After the fall.", cache=False).status_code == 200
    eventually(lambda: counted()["spoken"] == 13, 10)


def test_the_engines_of_both_workers_tell_of_their_steps(observed: Service):
    def told() -> bool:
        seen = scrape(observed)
        return total(seen, "megatts3_solver_steps_total", "worker1@") > 0 and total(seen, "megatts3_batch_rows") >= 0

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: observed.synthesize(f"Number {n} of many.", cache=False), range(8)))
    eventually(told, 10)
    seen = scrape(observed)
    useful, padded = total(seen, "megatts3_useful_frames_total"), total(seen, "megatts3_padded_frames_total")
    assert 0 < useful <= padded
    assert total(seen, "megatts3_row_steps_total") >= total(seen, "megatts3_solver_steps_total")


def test_the_listener_shows_queue_workers_memory_and_cache(observed: Service):
    observed.synthesize("Twice.")
    observed.synthesize("Twice.")

    seen = scrape(observed)

    assert seen["megatts3_ready"] == 1
    assert seen["megatts3_store_up"] == 1
    assert seen['megatts3_queue_jobs{state="queued"}'] == 0
    assert total(seen, "megatts3_memory_usage_bytes", 'kind="total"') > 1e9
    assert 0 < seen["megatts3_cache_hit_ratio"] < 1
    assert seen['megatts3_cache_bytes{kind="used"}'] > 0
