"""What an operator sees of a running service: two API processes, two workers, one listener, one log."""

import gzip
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from live_service import ROOT, Service, eventually, parents_of_all, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cli.embedded_redis import server_binary
from cli.ports import free_port
from tests.handbook import LIVE, commands
from tests.watched_queries import grouped, queries, selectors

pytestmark = pytest.mark.timeout(400)
SPEECH = "/api/v1/tts/synthesize"


class Collector:
    """An OTLP receiver over HTTP: real requests, decoded with the protocol's own messages."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []  # service, span
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = [a.value.string_value for a in sent.resource.attributes if a.key == "service.name"]
                    collector.spans += [(names[0], span) for scope in sent.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def trace(self, trace_id: str) -> list[tuple[str, Span]]:
        return [(service, span) for service, span in list(self.spans) if span.trace_id.hex() == trace_id]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    receiver = Collector()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def observed(checkpoint: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    variables = {"MEGATTS3_METRICS_PORT": str(free_port()), "MEGATTS3_MONITORING_CANARY_INTERVAL": "0"}
    variables |= {"MEGATTS3_TRACING_ENDPOINT": collector.url}
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


def test_the_capacity_is_what_both_engines_measured(observed: Service):
    text = " ".join(f"This is sentence {n} of a text that both of them share, a segment each." for n in range(8))

    def both_measured() -> dict[str, object] | None:
        observed.synthesize(text, cache=False)
        told = observed.get("/api/v1/capacity").json()
        return told if all(worker["audio_s_per_s"] for worker in told["workers"]) else None

    seen = eventually(both_measured)

    assert seen["ready_workers"] == 2
    assert (
        seen["rows"] == sum(worker["rows"] for worker in seen["workers"]) >= 2
    )  # as each engine chose for this machine
    assert seen["suggested_concurrency"] == seen["rows"] + 2
    paces = [worker["audio_s_per_s"] for worker in seen["workers"]]
    assert min(paces) > 0
    assert seen["audio_s_per_s"] == pytest.approx(sum(paces), rel=0.01)
    assert seen["wait_p95_s"]["interactive"] >= 0
    eventually(lambda: observed.get("/api/v1/capacity").json()["free_rows"] == seen["rows"], 10)


def test_the_listener_shows_queue_workers_memory_and_cache(observed: Service):
    observed.synthesize("Twice.")
    observed.synthesize("Twice.")
    eventually(lambda: scrape(observed)["megatts3_cache_hit_ratio"] > 0, 20)  # hits are counted afterwards

    seen = scrape(observed)

    assert seen["megatts3_ready"] == 1
    assert seen["megatts3_store_up"] == 1
    assert seen['megatts3_queue_jobs{state="queued"}'] == 0
    assert total(seen, "megatts3_memory_usage_bytes", 'kind="total"') > 1e9
    assert 0 < seen["megatts3_cache_hit_ratio"] < 1
    assert seen['megatts3_cache_bytes{kind="used"}'] > 0


def test_the_trace_of_one_request_shows_every_stage_from_the_api_to_the_engine(observed: Service, collector: Collector):
    trace_id, root = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    answer = requests.post(
        f"{observed.url}{SPEECH}",
        json={"text": "One to be traced.", "voice_id": "default", "time_step": 4, "cache": False},
        headers={"traceparent": f"00-{trace_id}-{root}-01"},
        timeout=60,
    )
    assert answer.status_code == 200

    expected = {
        f"POST {SPEECH}",
        "synthesize",
        "queue",
        "voice",
        "text",
        "engine",
        "prepare",
        "steps",
        "decode",
        "join",
        "encode",
    }
    eventually(lambda: {span.name for _, span in collector.trace(trace_id)} >= expected, 20)
    found = {span.name: (service, span) for service, span in collector.trace(trace_id)}
    of_api, request_span = found[f"POST {SPEECH}"]
    of_worker, work = found["synthesize"]
    assert (of_api, of_worker) == ("megatts3-api", "megatts3-worker")
    assert request_span.parent_span_id.hex() == root
    assert work.parent_span_id == request_span.span_id
    order = [found[name][1].start_time_unix_nano for name in ("queue", "voice", "text", "prepare", "steps", "decode")]
    assert order == sorted(order)
    assert found["decode"][1].end_time_unix_nano <= found["encode"][1].start_time_unix_nano + 5_000_000
    timed = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["Server-Timing"]))
    assert {"queue", "synthesis", "voice", "text", "prepare", "steps", "decode", "encode"} <= timed.keys()
    assert float(timed["prepare"]) + float(timed["steps"]) + float(timed["decode"]) <= float(timed["synthesis"]) + 1


def test_the_trace_of_a_text_that_all_workers_share_shows_the_stages_of_each_segment(
    observed: Service, collector: Collector
):
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    text = " ".join(
        f"This is sentence number {n}, and it is long enough to stand alone as one segment." for n in range(6)
    )
    answer = requests.post(
        f"{observed.url}{SPEECH}",
        json={"text": text, "voice_id": "default", "time_step": 4, "cache": False},
        headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"},
        timeout=60,
    )
    assert answer.status_code == 200
    count = observed.job(answer.headers["X-Job-ID"])["segments"]
    assert count > 3

    def stages() -> dict[int, dict[str, Span]]:
        found: dict[int, dict[str, Span]] = {}
        for _, span in collector.trace(trace_id):
            about = {a.key: a.value for a in span.attributes}
            if "segment" in about:
                found.setdefault(about["segment"].int_value, {})[span.name] = span
        return found

    eventually(lambda: "encode" in {span.name for _, span in collector.trace(trace_id)}, 20)
    assert set(stages()) == set(range(count))
    engine = next(span for _, span in collector.trace(trace_id) if span.name == "engine")
    join = next(span for _, span in collector.trace(trace_id) if span.name == "join")
    rendered_by = set()
    for spans in stages().values():
        assert spans.keys() == {"queue", "prepare", "steps", "decode"}
        assert {span.parent_span_id for span in spans.values()} == {engine.span_id}
        starts = [spans[name].start_time_unix_nano for name in ("queue", "prepare", "steps", "decode")]
        assert starts == sorted(starts)
        assert engine.start_time_unix_nano <= spans["queue"].start_time_unix_nano + 1_000_000
        assert spans["decode"].end_time_unix_nano <= join.start_time_unix_nano + 1_000_000
        assert spans["steps"].end_time_unix_nano > spans["steps"].start_time_unix_nano
        rendered_by |= {a.value.string_value for a in spans["steps"].attributes if a.key == "worker"}
    assert len(rendered_by) == 2
    timed = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["Server-Timing"]))
    assert {"prepare", "steps", "decode", "join", "encode"} <= timed.keys()


def test_the_seeds_own_lines_work_on_the_log_and_the_mean_is_true(observed: Service):
    """Its one-liner, its grep, its tail; the true mean is what the processes counted, and what the clients were told."""
    answers = [observed.synthesize(f"Number {n} for the log.", cache=False) for n in range(6)]
    log = Path(str(observed.facts["logs"])) / "megatts3.log"
    eventually(lambda: all(f"job={a.headers['X-Job-ID']}" in log.read_text() for a in answers), 10)
    one_liner = """grep "synthesis_time" logs/megatts3.log | awk '{sum+=$4; count++} END {print "平均合成时间:", sum/count, "秒"}'"""

    printed = shell(one_liner, log.parent.parent)

    seen = scrape(observed)
    count, seconds = (total(seen, f"megatts3_synthesis_latency_seconds_{end}") for end in ("count", "sum"))
    assert log.read_text().count(" synthesis_time ") == count
    assert float(printed.split()[1]) == pytest.approx(seconds / count, rel=0.02)
    spoken = [float(m) for m in re.findall(r" ([\d.]+) synthesis_time job=", log.read_text())]
    timings = [float(re.search(r"synthesis;dur=([\d.]+)", a.headers["Server-Timing"])[1]) / 1000 for a in answers]
    assert all(min(abs(t - s) for s in spoken) < 0.002 for t in timings)
    assert shell('grep "ERROR" logs/megatts3.log | tail -20', log.parent.parent) == ""
    assert shell("tail -n 1 logs/megatts3.log", log.parent.parent).startswith("20")


def test_the_request_id_is_in_the_lines_of_api_and_worker(observed: Service):
    answer = requests.post(
        f"{observed.url}{SPEECH}",
        json={"text": "Find me.", "cache": False},
        headers={"X-Request-ID": "find-me-42"},
        timeout=60,
    )
    log = Path(str(observed.facts["logs"])) / "megatts3.log"

    def events() -> set[str]:
        return {
            line.split("] ")[1].split(" ")[0]
            for line in log.read_text().splitlines()
            if "request_id=find-me-42" in line
        }

    assert answer.headers["X-Request-ID"] == "find-me-42"
    eventually(lambda: "request_served" in events(), 10)
    told = shell('grep "request_id=find-me-42" logs/megatts3.log', log.parent.parent)
    assert "job_submitted" in told
    assert re.search(r"\[INFO\] [\d.]+ synthesis_time job=", told)


def test_the_health_script_says_that_all_is_well(observed: Service):
    done = subprocess.run(
        ["sh", str(ROOT / "scripts/health_check.sh"), observed.url, str(observed.storage)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert "✅ MegaTTS3 服务正常" in done.stdout
    assert "存储空间" in done.stdout


def test_an_operators_own_health_script_works_as_it_is(observed: Service):
    """Only its address and its folder are this service's."""
    script = (Path(__file__).parent / "operators_health_check.sh").read_text()
    script = script.replace("http://localhost:9000", observed.url).replace("/app/storage", str(observed.storage))

    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=30)

    assert "✅ MegaTTS3 服务正常" in done.stdout
    assert re.search(r"存储空间(充足|不足): \d+%", done.stdout)


def shell(line: str, folder: Path) -> str:
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_handbooks_looks_are_run_as_they_are_written(observed: Service):
    """Addresses, the log's folder and Redis's port are this service's; every command answers, and with something."""
    answer = observed.synthesize("For the handbook.", cache=False)
    logs = Path(str(observed.facts["logs"]))
    eventually(lambda: answer.headers["X-Job-ID"] in (logs / "megatts3.log").read_text(), 10)
    worker = observed.get("/api/v1/capacity").json()["workers"][0]["name"]
    here = {
        "http://localhost:9000": observed.url,
        "http://127.0.0.1:9090/metrics": str(observed.facts["metrics_url"]),
        "storage": str(observed.storage),
        "logs/": f"{logs}/",
        "-p PORT": f"-p {str(observed.facts['redis_url']).rpartition(':')[2]}",
        "JOB_ID": answer.headers["X-Job-ID"],
        "worker:NAME": f"worker:{worker}",
        "request_id=ID": f"request_id={answer.headers['X-Request-ID']}",
    }
    cli = f"cli={server_binary().with_name('redis-cli')}"
    ran = 0
    for command in commands("docs/operations.md"):
        if not command.startswith(LIVE) or command.startswith("cli="):
            continue
        line = command
        for written, ours in here.items():
            line = line.replace(written, ours)
        if "SUBSCRIBE" in line:  # until somebody ends it
            line = f"timeout 2 {line}"
        done = subprocess.run(
            ["sh", "-c", f"{cli}; {line}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
        )
        ran += 1
        if command == "grep ERROR logs/megatts3.log":
            assert all("[ERROR]" in said for said in done.stdout.splitlines())
        else:
            assert done.stdout.strip(), command
            assert "(error)" not in done.stdout, command
    assert ran > 15


NOT_HERE = {
    "megatts3_gpu_utilization_ratio": "no GPU here",
    "megatts3_canary_": "the canary is off here: test_watched_mini.py",
}


def test_every_query_of_dashboards_and_alerts_finds_its_metric_and_labels_in_a_live_scrape(observed: Service):
    observed.synthesize("For the dashboards.")
    observed.post(SPEECH, json={"text": ""})
    eventually(lambda: total(scrape(observed), "megatts3_error_rate_errors_total") > 0, 10)
    live: dict[str, set[str]] = {}
    for series in scrape(observed):
        name, _, labels = series.partition("{")
        live.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))

    for where, expr in queries():
        asked = selectors(expr)
        for selector in asked:
            if any(selector.metric.startswith(name) for name in NOT_HERE):
                continue
            assert selector.metric in live, f"{where}: {selector.metric}"
            assert selector.labels <= live[selector.metric], f"{where}: {selector.text}"
        found = [live[selector.metric] for selector in asked if selector.metric in live]
        assert not found or grouped(expr) <= set().union(*found), where


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
