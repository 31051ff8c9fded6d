"""The worker's composition root: everything a task needs, built once per process and handed to it.

Devices and dtypes are decided here, once, and printed at start.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from contract.last_words import LastWords
from contract.metrics import Metrics
from contract.own_memory import resident_bytes
from contract.queues import QUEUE_OF_PRIORITY, QueueName, TaskName
from contract.schemas import Job
from contract.settings import Settings
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from contract.tracing import NoTracing, Tracing, open_tracing
from megatts3.api import Engine, EngineConfig
from worker import shipped_voices
from worker.clocks import Clocks
from worker.company import Company
from worker.deliveries import Deliveries
from worker.devices import Compute, choose_compute, hold_gpu_memory, limit_gpu_memory, peak_memory
from worker.event_watch import EventWatch
from worker.fan_out import Links
from worker.figures import Figures
from worker.housekeeping import Housekeeping
from worker.janitor import Janitor
from worker.joiners import Joiners
from worker.keeping import Keeper
from worker.leases import LeaseKeeper
from worker.manuscripts import Manuscripts
from worker.outcomes import Outcomes
from worker.planning import Planner
from worker.preparing import Preparer
from worker.presence import Presence
from worker.profile_folder import ProfileFolder, ProfileWatch
from worker.prompt_cache import PromptCache
from worker.rendering import Renderers
from worker.scratch import Scratch
from worker.segment_sweep import SegmentSweep
from worker.speaking import Speaker
from worker.speech_engine import SpeechEngine
from worker.spreading import Spreader
from worker.sweep import Swept, VoiceSweep, forget_outdated, sweep
from worker.throughput import Throughput
from worker.voices import VoicePrompts
from worker.watchdog import Watchdog, memory_limit
from worker.webhooks import Webhooks

log = event_log(__name__)

PROMPT_CACHE_BYTES = 256 * 2**20  # a prompt of 28 s is about 0.1 MB: thousands of voices
DRAIN_S = 25.0  # a running job may end by itself for so long after SIGTERM, then it goes back to the queue
HAND_BACK_S = 5.0  # for whatever is still held at the end to be put back into the queue
JANITOR_EVERY_S = 3600.0  # it looks at every file and every record
VOICE_GIVEN_UP_S = 600.0  # a voice that is still `preparing` after this took its workers down with it
MESSAGE_S = 3.0  # a job that waits for so long while a thread here is free: its message is lost
CALIBRATE_S = 3.0  # at start, of measuring what a step costs here

Send = Callable[[TaskName, str, QueueName, str | None], None]


class Runtime:
    """One worker process: its stores, its engine, its threads."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        engine: SpeechEngine,
        *,
        name: str,
        compute: Compute,
        send: Send,
        clocks: Clocks | None = None,
        metrics: Metrics | None = None,
        tracing: Tracing | None = None,
        drain_s: float = DRAIN_S,
        last_words: LastWords | None = None,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        jobs = settings.jobs
        clocks = clocks or Clocks(unix_s=stores.now)
        scratch = Scratch(settings.storage.temp_dir if settings.storage.temp_dir.is_dir() else None)
        self.settings, self.stores, self.engine, self.name = settings, stores, engine, name
        self._send, self._drain_s, self._compute = send, drain_s, compute
        self._company, self._last_words = Company(), last_words or LastWords()
        self._draining = threading.Event()
        self.leases = LeaseKeeper(stores.jobs, lease_s=jobs.lease_s, heartbeat_s=jobs.heartbeat_s)
        self.prompts = VoicePrompts(stores, engine, PromptCache(max_bytes=PROMPT_CACHE_BYTES))
        self._preparer = Preparer(
            stores.voices, self.prompts, self._company, worker=name, max_attempts=jobs.max_attempts
        )
        self._planner = Planner(stores.plans, engine, self.prompts)
        self._tracing = tracing or NoTracing()
        self.figures = Figures(metrics or Metrics(), worker=name)
        self._segment_sweep = SegmentSweep(stores, settings.cache, max_attempts=jobs.max_attempts)
        self._webhooks = Webhooks(stores, settings.webhooks, unix_s=clocks.unix_s)
        outcomes = Outcomes(stores.jobs, self.figures, send_again=self.send_job, ended=self._segment_sweep.leave)
        manuscripts, self.joiners = Manuscripts(stores.blobs), Joiners()
        self.renderers = Renderers(
            stores.segments,
            stores.blobs,
            engine,
            prompts=self.prompts,
            manuscripts=manuscripts,
            company=self._company,
            ring=self.joiners.ring,
            worker=name,
            rows=settings.model.batch_size,
            lease_s=jobs.lease_s,
            heartbeat_s=jobs.heartbeat_s,
        )
        throughput = self._throughput = Throughput()
        keeper = Keeper(stores, self.figures, throughput, unix_s=clocks.unix_s)
        spreader = Spreader(
            stores,
            engine,
            self.prompts,
            self.leases,
            keeper=keeper,
            outcomes=outcomes,
            manuscripts=manuscripts,
            links=Links(stores.segments, stores.blobs, self.renderers.wake, self.joiners.ring, clocks.unix_s),
            clocks=clocks,
            company=self._company,
            last_words=self._last_words,
            scratch=scratch,
        )
        self.speaker = Speaker(
            stores,
            engine,
            self.prompts,
            self.leases,
            figures=self.figures,
            tracing=self._tracing,
            outcomes=outcomes,
            keeper=keeper,
            spreader=spreader,
            joiners=self.joiners,
            clocks=clocks,
            company=self._company,
            scratch=scratch,
            is_draining=self._draining.is_set,
        )
        self.presence = Presence(
            name,
            compute,
            engine=engine,
            leases=self.leases,
            throughput=throughput,
            waits=self.figures.waits,
            clock=clocks.unix_s,
        )
        self.housekeeping = Housekeeping(
            stores.workers,
            describe=self.presence.describe,
            sweep=self.sweep,
            sweep_buried=self.sweep_buried,
            after_outage=lambda away_s: stores.jobs.doubt_messages(older_than_s=away_s),
            watch_engine=self._watch_engine,
            every_s=min(jobs.heartbeat_s, jobs.worker_ttl_s / 3),
            sweep_every_s=jobs.sweep_s,
            ttl_s=jobs.worker_ttl_s,
            grace_s=jobs.lease_s,
            clock=time.monotonic,
        )
        self._events = EventWatch(
            stores.events,
            self.leases,
            renderers=self.renderers,
            joiners=self.joiners,
            worker_ended=self.housekeeping.hear_of_an_end,
        )

        def send_voice(voice_id: str) -> None:
            send(TaskName.PREPARE_VOICE, voice_id, QueueName.INTERACTIVE, None)

        self._profiles: ProfileWatch | None = None
        if settings.storage.profiles_dir is not None:
            folder = ProfileFolder(settings.storage.profiles_dir, stores, settings.storage, send=send_voice)
            self._profiles = ProfileWatch(folder, every_s=jobs.sweep_s)
        self._voice_sweep = VoiceSweep(
            stores.voices,
            stores.workers,
            myself=name,
            max_attempts=jobs.max_attempts,
            send=send_voice,
            resend_after_s=jobs.resend_after_s,
            give_up_after_s=VOICE_GIVEN_UP_S,
            clock=clocks.unix_s,
        )
        self._janitor = Janitor(
            stores.jobs, stores.blobs, keep_s=jobs.keep_s, every_s=JANITOR_EVERY_S, unix_s=clocks.unix_s
        )
        self._drainer: threading.Thread | None = None
        self._deliveries = Deliveries()
        self.watchdog = Watchdog(
            engine,
            name,
            stuck_after_s=settings.worker.stuck_after_s,
            max_memory_bytes=memory_limit(settings.worker.max_memory_bytes),
            leave=leave,
            drain=lambda: os.kill(os.getpid(), signal.SIGTERM),
            resident_bytes=resident_bytes,
        )

    def start(self) -> None:
        """Renew leases, heartbeat and sweep from now on; the worker is not ready yet."""
        self.leases.start()
        self.joiners.start()
        self._events.start()
        self.housekeeping.beat()
        self.housekeeping.start()

    def become_ready(self, checkpoint: Path) -> None:
        """Start the engine, speak a warm-up, register the checkpoint's voices; then say so.

        Raises what the library raises, and ShippedVoicesError.  May be called again after STORE_UNAVAILABLE.
        """
        if not self.engine.is_alive:
            self.engine.start()
            self.engine.warm_up()
            peak = peak_memory(self._compute.device)  # by this an operator sizes machines
            log.info("worker_memory", peak_rss_bytes=peak.rss_bytes, peak_device_bytes=peak.device_bytes)
            self.renderers.start()
        shipped = shipped_voices.read_index(checkpoint)
        shipped_voices.register(shipped, self.stores, self.prompts, revision=self.engine.revision)
        self.presence.is_ready(self.engine.capabilities, self.engine.revision)
        self.housekeeping.beat()
        if self._profiles is not None:  # after the shipped voices, whose ids go first
            self._profiles.start()

    def synthesize(self, job_id: str, *, parent: str | None = None) -> None:
        with self._deliveries.of(job_id) as is_first:
            if not is_first:
                return
            with self._tracing.span("synthesize", parent=parent, job=job_id, worker=self.name):
                self.speaker.speak(job_id, worker=self.name, lease_s=self.settings.jobs.lease_s)

    def plan(self, plan_id: str, *, parent: str | None = None) -> None:
        with self._company.beside(), self._tracing.span("plan", parent=parent, plan=plan_id, worker=self.name):
            self._planner.plan(plan_id)

    def prepare_voice(self, voice_id: str, *, parent: str | None = None) -> None:
        span = self._tracing.span("prepare_voice", parent=parent, voice=voice_id, worker=self.name)
        with span:
            self._preparer.prepare(voice_id)

    def sweep(self) -> Swept:
        """Bring back lost jobs and voices, and forget jobs that ended long ago."""
        self._voice_sweep.sweep()
        self._segment_sweep.sweep()
        self._webhooks.sweep()
        forget_outdated(self.stores.jobs, self.stores.blobs)
        self._janitor.look()
        jobs = self.settings.jobs
        return sweep(
            self.stores.jobs,
            self.send_job,
            max_attempts=jobs.max_attempts,
            resend_after_s=self._resend_after_s(),
        )

    def _resend_after_s(self) -> float:
        """With a thread free here, a message would have been taken at once: who waits all the same was forgotten."""
        jobs = self.settings.jobs
        is_free = self.presence.ready and self._deliveries.count < jobs.concurrency and not self.joiners.is_full
        return min(MESSAGE_S, jobs.resend_after_s) if is_free else jobs.resend_after_s

    def sweep_buried(self) -> Swept:
        """Bring back what processes held that are known to have ended, and send what is doubted at once."""
        self._segment_sweep.bring_back(buried_only=True)
        self._voice_sweep.bring_back(buried_only=True)
        jobs = self.settings.jobs
        return sweep(
            self.stores.jobs,
            self.send_job,
            max_attempts=jobs.max_attempts,
            resend_after_s=jobs.resend_after_s,
            buried_only=True,
        )

    def send_job(self, job: Job) -> None:
        """A (further) message for a queued job, by the name of its work: who leads it may change meanwhile."""
        self._send(TaskName.SYNTHESIZE, job.work_id, QUEUE_OF_PRIORITY[job.priority], job.request_id)

    def begin_drain(self) -> None:
        """After SIGTERM: let what runs end within a bound, then hand it back.  Returns at once."""
        if self._draining.is_set():
            return
        self._draining.set()
        self.presence.is_not_ready("draining")
        self.renderers.drain()
        self.leases.release_resumable()
        self._drainer = threading.Thread(target=self._drain, name="drain", daemon=True)
        self._drainer.start()

    def stop(self) -> None:
        """After the last task.  Jobs that are still joined end as a drain lets them, or go back at once."""
        self._draining.set()
        if self._drainer is not None:
            self._drainer.join()
        else:
            self.leases.release_all()
        if not self.leases.wait_until_none(HAND_BACK_S):
            log.warning("jobs_not_handed_back", count=self.leases.held)
        if self._profiles is not None:
            self._profiles.stop()
        self.housekeeping.stop()
        self._events.stop()
        self.renderers.stop()
        self.joiners.stop()
        self.leases.stop()
        self.engine.stop()
        self._tracing.close()
        self._last_words.close()

    def _drain(self) -> None:
        if not self.leases.wait_until_none(self._drain_s):
            self.leases.release_all()

    def _watch_engine(self) -> None:
        """Show what it did, and see whether this process must go (watchdog.py)."""
        self.figures.engine(self.engine.counters)
        if self.presence.was_ready:
            self._throughput.engine(self.engine.counters)
            self.watchdog.look()


def load_runtime(settings: Settings, stores: Stores, *, name: str, send: Send) -> Runtime:
    """Choose the device, load the checkpoint, build the runtime.  Raises what the library raises."""
    compute = choose_compute(settings.model)
    checkpoint = settings.model.locate_weights()
    log.info(
        "worker_compute",
        device=compute.device,
        precision=compute.precision,
        wanted_device=settings.model.device,
        wanted_precision=settings.model.precision,
        checkpoint=checkpoint,
    )
    limit_gpu_memory(compute, settings.model)
    hold_gpu_memory(compute, settings.model)
    engine = Engine.load(
        checkpoint,
        EngineConfig(
            device=compute.device,
            precision=compute.precision,
            max_rows=settings.model.batch_size,
            threads=settings.model.threads,
            pronunciation=settings.model.pronunciation,
            calibrate_s=CALIBRATE_S,
        ),
    )
    tracing = open_tracing(settings.tracing, service="megatts3-worker")
    return Runtime(
        settings,
        stores,
        engine,
        name=name,
        compute=compute,
        send=send,
        tracing=tracing,
        last_words=LastWords.open(settings.storage.temp_dir, name),
    )


_runtime: Runtime | None = None


def set_runtime(built: Runtime | None) -> None:
    """Called when the process starts (and by tests); None at its end."""
    global _runtime  # noqa: PLW0603 - Celery gives a task no constructor: one accessor, set once
    _runtime = built


def runtime() -> Runtime:
    """This process's runtime.  Fails loudly where none was built."""
    if _runtime is None:
        raise RuntimeError("no runtime: set_runtime is called on worker_init")
    return _runtime
