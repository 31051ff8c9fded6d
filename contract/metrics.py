"""What API and worker count: every family, its labels and its buckets, in one place.

A composition root builds one Metrics per process.  With `PROMETHEUS_MULTIPROC_DIR` set (the launcher does) the
figures lie in files there, outlive their process, and are read by the one listener of the machine (monitor/);
without it they are this process's own.  Gauges that come from Redis are in monitor/service_facts.py.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contract.telemetry import Metric

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
RATIO = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """The families of one process.  `registry` None: one of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = found = registry or CollectorRegistry()
        # --- told by the API
        self.requests = Histogram(
            Metric.REQUESTS,
            "Seconds from a request's arrival to its answer's headers, by route.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=found,
        )
        self.throughput = Counter(
            Metric.THROUGHPUT, "Requests answered, by route and status.", ("route", "status"), registry=found
        )
        self.errors = Counter(
            Metric.ERROR_RATE, "Requests answered with an error, by its code.", ("route", "code"), registry=found
        )
        self.first_audio = Histogram(
            Metric.TIME_TO_FIRST_AUDIO,
            "Seconds from a request's arrival to the first bytes of sound.",
            ("cache",),
            buckets=SECONDS,
            registry=found,
        )
        # --- told by the worker
        self.synthesis = Histogram(
            Metric.SYNTHESIS_LATENCY,
            "Seconds of one synthesis, from claim to encoded audio.",
            buckets=SECONDS,
            registry=found,
        )
        self.queue_wait = Histogram(
            Metric.QUEUE_WAIT,
            "Seconds a job waited before a worker took it.",
            ("priority",),
            buckets=SECONDS,
            registry=found,
        )
        self.stages = Histogram(
            Metric.STAGE,
            "Seconds a job spent in one stage of its way.",
            ("stage",),
            buckets=SECONDS,
            registry=found,
        )
        self.rtf = Histogram(
            Metric.RTF, "Seconds of compute per second of audio, by job.", buckets=RATIO, registry=found
        )
        self.jobs = Counter(Metric.JOBS, "Jobs this worker ended, by outcome.", ("outcome",), registry=found)
        self.audio = Counter(Metric.AUDIO, "Seconds of audio synthesized.", registry=found)
        self.steps = Counter(Metric.STEPS, "Forward passes of the DiT.", ("worker",), registry=found)
        self.row_steps = Counter(Metric.ROW_STEPS, "Rows in those passes, summed.", ("worker",), registry=found)
        self.useful_frames = Counter(
            Metric.USEFUL_FRAMES, "Latent frames computed, summed over passes.", ("worker",), registry=found
        )
        self.padded_frames = Counter(
            Metric.PADDED_FRAMES, "The same with the padding of each batch.", ("worker",), registry=found
        )
        self.engine_seconds = Counter(
            Metric.ENGINE_SECONDS,
            "Seconds of the engine's thread, by what it did.",
            ("worker", "phase"),
            registry=found,
        )
        self.batch_rows = self._lately(Metric.BATCH_ROWS, "Rows per pass, over the last heartbeat with passes.")
        self.padding_waste = self._lately(
            Metric.PADDING_WASTE, "Share of padding in the frames computed, over the last heartbeat with passes."
        )

    def _lately(self, name: Metric, meaning: str) -> Gauge:
        return Gauge(name, meaning, ("worker",), multiprocess_mode="livemostrecent", registry=self.registry)


def guarded(note: Callable[[], object]) -> None:
    """Run a piece of bookkeeping; a full disk under the metrics' files must not fail a job or an answer."""
    try:
        note()
    except (OSError, ValueError):
        return
