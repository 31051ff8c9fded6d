"""What the worker counts: jobs, seconds, and what its engine did since the last heartbeat."""

import threading

from contract.metrics import Metrics, guarded
from contract.schemas import Job
from megatts3.api import Counters
from worker.waits import Waits


class Figures:
    """Safe from many threads.  `worker`: the name its engine's figures go by."""

    def __init__(self, metrics: Metrics, *, worker: str) -> None:
        self._metrics, self._worker = metrics, worker
        self._lock = threading.Lock()
        self._seen = Counters()
        self.waits = Waits()

    def claimed(self, job: Job) -> None:
        """A job was taken: how long had it waited?"""
        if job.started_at is not None:
            waited_s = max(0.0, job.started_at - (job.queued_at or job.created_at))
            self.waits.note(job.priority, waited_s)
            guarded(lambda: self._metrics.queue_wait.labels(job.priority.value).observe(waited_s))

    def spoken(self, *, audio_s: float, synthesis_s: float) -> None:
        """Audio was made, not found."""

        def note() -> None:
            self._metrics.synthesis.observe(synthesis_s)
            self._metrics.audio.inc(audio_s)
            if audio_s > 0:
                self._metrics.rtf.observe(synthesis_s / audio_s)

        guarded(note)

    def stage(self, name: str, seconds: float) -> None:
        """One stage of a job's way is over."""
        guarded(lambda: self._metrics.stages.labels(name).observe(seconds))

    def ended(self, outcome: str) -> None:
        """A job's end was written into its record, by us."""
        guarded(lambda: self._metrics.jobs.labels(outcome).inc())

    def engine(self, now: Counters) -> None:
        """Add what the engine did since the last call; the gauges stay where it did nothing."""
        with self._lock:
            new, self._seen = now.minus(self._seen), now

        def note() -> None:
            metrics, worker = self._metrics, self._worker
            metrics.steps.labels(worker).inc(new.steps)
            metrics.row_steps.labels(worker).inc(new.row_steps)
            metrics.useful_frames.labels(worker).inc(new.useful_frames)
            metrics.padded_frames.labels(worker).inc(new.computed_frames)
            for phase in ("step", "prepare", "decode", "scheduler"):
                metrics.engine_seconds.labels(worker, phase).inc(getattr(new, f"{phase}_s"))
            if new.steps:
                metrics.batch_rows.labels(worker).set(new.rows_per_step)
                metrics.padding_waste.labels(worker).set(new.padding_waste)
            elif not now.steps:  # the families are there from the start
                metrics.batch_rows.labels(worker).set(0.0)
                metrics.padding_waste.labels(worker).set(0.0)

        guarded(note)
