"""What Redis knows of the service, as gauges: asked at each scrape, the same for all processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from contract.canary import CanaryVerdict
from contract.errors import ServiceError
from contract.schemas import WorkerState
from contract.stores.interfaces import CacheStats, Stores
from contract.stores.jobs import QueueDepth
from contract.telemetry import Metric

Row = tuple[Sequence[str], float | None]  # labels, value; None: nobody measured it


class ServiceFacts(Collector):
    """Families of the queue, the workers, the cache and the canary.  Redis away: `megatts3_store_up` 0 and no more."""

    def __init__(self, stores: Stores, *, clock: Callable[[], float] = time.time) -> None:
        self._stores, self._clock = stores, clock

    def describe(self) -> Iterable[Family]:
        """Nothing: registering must not ask Redis."""
        return []

    def collect(self) -> Iterable[Family]:
        try:
            depth, workers = self._stores.jobs.depth(), self._stores.workers.list()
            stats, verdict = self._stores.audio_cache.stats(), self._stores.canary.read()
        except ServiceError:
            yield gauge(Metric.STORE_UP, "1 while Redis answers.", [((), 0)])
            return
        yield gauge(Metric.STORE_UP, "1 while Redis answers.", [((), 1)])
        yield from self._queue(depth)
        yield from _workers(workers, verdict)
        yield from _cache(stats)
        yield from _canary(verdict)

    def _queue(self, depth: QueueDepth) -> Iterable[Family]:
        jobs: list[Row] = [(("queued",), depth.queued_jobs), (("running",), depth.running_jobs)]
        yield gauge(Metric.QUEUE_JOBS, "Jobs that wait, and jobs that run.", jobs, ("state",))
        interactive_s = depth.queued_interactive_audio_s
        audio: list[Row] = [
            (("queued", "interactive"), interactive_s),
            (("queued", "batch"), max(0.0, depth.queued_audio_s - interactive_s)),
            (("running", "all"), depth.running_audio_s),
        ]
        yield gauge(Metric.QUEUE_AUDIO, "Expected seconds of audio in these jobs.", audio, ("state", "priority"))
        oldest = depth.oldest_queued_at
        age_s = 0.0 if oldest is None else max(0.0, self._clock() - oldest)
        yield gauge(Metric.QUEUE_AGE, "Seconds the oldest queued job has waited.", [((), age_s)])


def _workers(workers: Sequence[WorkerState], verdict: CanaryVerdict | None) -> Iterable[Family]:
    ready = [worker for worker in workers if worker.ready]
    counts: list[Row] = [(("ready",), len(ready)), (("other",), len(workers) - len(ready))]
    yield gauge(Metric.WORKERS, "Workers that were heard of lately.", counts, ("state",))
    is_ready = bool(ready) and not (verdict is not None and verdict.speech_is_bad)
    yield gauge(Metric.READY, "1 while /health/ready says so.", [((), float(is_ready))])
    of = ("worker", "device")
    speeds: list[Row] = [((w.name, w.device), w.audio_s_per_s) for w in workers]
    yield gauge(Metric.WORKER_SPEED, "Seconds of audio a worker makes a second, lately.", speeds, of)
    active: list[Row] = [((w.name, w.device), w.active_jobs) for w in workers]
    yield gauge(Metric.ACTIVE_JOBS, "Jobs a worker holds.", active, of)
    busy: list[Row] = [((w.name, w.device), w.gpu_utilization) for w in workers]
    yield gauge(Metric.GPU_UTILIZATION, "Share of time a worker's GPU is busy; none on a CPU.", busy, of)
    memory: list[Row] = []
    for w in workers:
        memory += [
            ((w.name, w.device, "used"), w.memory_used_bytes),
            ((w.name, w.device, "total"), w.memory_total_bytes),
        ]
    yield gauge(Metric.MEMORY_USAGE, "Memory of a worker's device.", memory, (*of, "kind"))


def _cache(stats: CacheStats) -> Iterable[Family]:
    yield gauge(Metric.CACHE_HIT_RATIO, "Hits of all look-ups in the audio cache.", [((), stats.hit_ratio)])
    sizes: list[Row] = [(("used",), stats.size_bytes), (("limit",), stats.max_bytes)]
    yield gauge(Metric.CACHE_BYTES, "Bytes of the audio cache.", sizes, ("kind",))
    yield counter(Metric.CACHE_HITS, "Look-ups that found audio.", stats.hits)
    yield counter(Metric.CACHE_MISSES, "Look-ups that found none.", stats.misses)
    yield counter(Metric.CACHE_EVICTIONS, "Entries that had to make room.", stats.evictions)


def _canary(verdict: CanaryVerdict | None) -> Iterable[Family]:
    of: list[Row] = [] if verdict is None else [((), float(verdict.ok))]
    yield gauge(Metric.CANARY_OK, "1: the last canary sentence sounded like speech.", of)
    of = [] if verdict is None else [((), verdict.latency_s)]
    yield gauge(Metric.CANARY_LATENCY, "Seconds the last canary sentence took, all the way.", of)
    of = [] if verdict is None else [((), verdict.at)]
    yield gauge(Metric.CANARY_AT, "When the last canary sentence was judged.", of)
    yield counter(Metric.CANARY_RUNS, "Canary sentences that were judged.", 0 if verdict is None else verdict.runs)
    checks: list[Row] = [] if verdict is None else [((name,), value) for name, value in verdict.checks.items()]
    yield gauge(Metric.CANARY_CHECK, "What was measured on the last canary sentence.", checks, ("check",))


def gauge(name: Metric, meaning: str, rows: Iterable[Row], labels: Sequence[str] = ()) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, figure in rows:
        if figure is not None:
            family.add_metric(list(values), figure)
    return family


def counter(name: Metric, meaning: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name.removesuffix("_total"), meaning, value=value)
