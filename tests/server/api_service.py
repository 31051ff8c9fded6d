"""The API with in-memory stores, and a worker that only pretends to speak but uses the real store calls."""

import dataclasses
import io
import math
import socket
import struct
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import flask
from flask.testing import FlaskClient

from contract import blob_keys
from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.records import items_from_bytes
from contract.schemas import (
    ItemState,
    Job,
    JobProgress,
    JobResult,
    JobStatus,
    Voice,
    VoiceStatus,
    VoiceType,
    WorkerState,
)
from contract.settings import ApiSettings, RateLimitSettings, Settings
from contract.stores.interfaces import CachedAudio, Stores
from contract.stores.jobs import Claim
from contract.stores.memory import memory_stores
from contract.stores.plans import PlanAnswer
from megatts3_server.app import Links, create_app
from megatts3_server.token_bucket import Buckets, MemoryBuckets

WORKER = WorkerState(
    name="worker0@test",
    pid=1,
    host="test",
    device="cpu",
    precision="fp32",
    ready=True,
    checkpoint="mini",
    revision="r1",
    encoder_available=True,
    memory_used_bytes=2_254_857_830,
    memory_total_bytes=8_589_934_592,
)


def wav_bytes(seconds: float = 0.5, *, rate: int = 24_000) -> bytes:
    """A quiet tone, 16-bit mono."""
    count = int(seconds * rate)
    samples = [int(3000 * math.sin(2 * math.pi * 220 * n / rate)) for n in range(count)]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(struct.pack(f"<{count}h", *samples))
    return buffer.getvalue()


def npy_bytes(shape: tuple[int, ...] = (1, 12, 32), *, descr: str = "<f4", value: float = 0.5) -> bytes:
    """What numpy.save writes."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    code = {"<f4": "f", "<f8": "d", "<f2": "e"}.get(descr, "f")
    body = struct.pack(f"<{math.prod(shape)}{code}", *([value] * math.prod(shape)))
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


@dataclass
class FakeWorker:
    """Claims and finishes by the real store calls, in a thread per message.  The test sets how it behaves.

    `hold`: jobs wait for `let_go`.  `fail_with`: how every job ends.  `refuse_voice`: why voices are refused.
    `is_broker_away`: sending fails.
    """

    stores: Stores
    hold: bool = False
    fail_with: ErrorInfo | None = None
    refuse_voice: ErrorInfo | None = None
    quality: dict[str, object] = field(default_factory=lambda: {"duration_s": 3.0})
    is_broker_away: bool = False
    heard: list[bytes] = field(default_factory=list)
    spoken: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def synthesize(self, job: Job) -> None:
        self._send(job.id, lambda: self._speak(job.id))

    def plan(self, job: Job) -> None:
        self._send(job.id, lambda: self._plan(job.id))

    def prepare_voice(self, voice: Voice) -> None:
        self._send(voice.id, lambda: self._prepare(voice.id))

    def _send(self, record_id: str, work: Callable[[], None]) -> None:
        if self.is_broker_away:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE, retry_after_s=5)
        self.sent.append(record_id)
        thread = threading.Thread(target=work, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _speak(self, job_id: str) -> None:
        jobs = self.stores.jobs
        if self.hold:
            assert self.let_go.wait(20)
        claim = jobs.claim(job_id, worker=WORKER.name, lease_s=15)
        if claim is None:
            return
        jobs.heartbeat(job_id, claim.token, lease_s=15, progress=JobProgress(0, 1, 16, 32, 0.0))
        if self.fail_with is not None:
            jobs.fail(job_id, claim.token, self.fail_with)
            return
        self.spoken.append(job_id)
        if claim.job.items:
            self._speak_items(claim)
            return
        jobs.finish(job_id, claim.token, self._result(claim.job))

    def _speak_items(self, claim: Claim) -> None:
        """An item that says "bad" fails; the test may hold it before an item that says "hold"."""
        job, jobs = claim.job, self.stores.jobs
        items = items_from_bytes(self.stores.blobs.get(blob_keys.job_items(job.id)))
        results = []
        for n, item in enumerate(items):
            if "hold" in item.request.text:
                assert self.let_go.wait(20)
            state = ItemState(JobStatus.FAILED, error=ErrorInfo(ErrorCode.SYNTHESIS_FAILED, "no"))
            if "bad" not in item.request.text:
                data = wav_bytes(0.5) + item.request.text.encode()
                blob = blob_keys.item_audio(job.id, n, item.request.response_format)
                times = blob_keys.item_timestamps(job.id, n)
                self.stores.blobs.put(blob, data)
                self.stores.blobs.put(times, b'{"segments": []}')
                result = JobResult(
                    blob, item.request.response_format, 0.5, 24_000, len(data), 0.25, timestamps_blob=times
                )
                state = ItemState(JobStatus.DONE, result=result)
                results.append(result)
            jobs.note_items(job.id, claim.token, {n: state})
        done, failed = len(results), len(items) - len(results)
        progress = JobProgress(done, done, 32, 32, 0.5 * done, items_done=done, items_failed=failed)
        jobs.heartbeat(job.id, claim.token, lease_s=15, progress=progress)
        summed = JobResult("", job.request.response_format, 0.5 * len(results), 24_000, 1, 0.25)
        jobs.finish(job.id, claim.token, summed)

    def _plan(self, plan_id: str) -> None:
        if self.hold:
            assert self.let_go.wait(20)
        job = self.stores.plans.asked(plan_id)
        if job is None:
            return
        if self.fail_with is not None:
            self.stores.plans.answer(plan_id, PlanAnswer(error=self.fail_with))
            return
        if job.reference_audio_blob is not None:
            self.heard.append(self.stores.blobs.get(job.reference_audio_blob))
        about = {"index": 0, "text": job.request.text, "phones": ["E0ah"], "phone_ids": [101]}
        segment = {**about, "tones": ["0"], "tone_ids": [3], "predicted_s": 0.48}
        plan = {"normalized_text": job.request.text, "language": "en", "segments": [segment], "predicted_s": 0.48}
        self.stores.plans.answer(plan_id, PlanAnswer(plan=plan))

    def _result(self, job: Job) -> JobResult:
        data = wav_bytes(0.5)
        blob = blob_keys.job_audio(job.work_id, job.request.response_format)
        self.stores.blobs.put(blob, data)
        audio_format, rate = job.request.response_format, job.request.sample_rate
        if job.request.cache and job.fingerprint is not None:
            self.stores.audio_cache.put(
                job.fingerprint, CachedAudio(data, job.request.voice_id, audio_format, 0.5, rate)
            )
        return JobResult(blob, audio_format, 0.5, rate, len(data), synthesis_s=0.25, predicted_s=0.48)

    def _prepare(self, voice_id: str) -> None:
        voice = self.stores.voices.get(voice_id)
        assert voice is not None
        if self.refuse_voice is not None:
            self.stores.voices.failed(voice_id, voice.version, self.refuse_voice)
            return
        blob = blob_keys.voice_prompt(voice_id, voice.version)
        self.stores.blobs.put(blob, b"prompt")
        self.stores.voices.prepared(
            voice_id,
            voice.version,
            prompt_blob=blob,
            revision="r1",
            duration_s=3.0,
            quality=self.quality,
        )


@dataclass(frozen=True)
class Service:
    """One API with all that is behind it."""

    app: flask.Flask
    stores: Stores
    worker: FakeWorker
    settings: Settings

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def close(self) -> None:
        self.worker.let_go.set()
        for thread in self.worker.threads:
            thread.join(10)
        self.app.extensions["megatts3"].wait_room.close()


def unlimited(folder: Path) -> Settings:
    """As shipped, but nobody is limited and a sync answer comes within seconds."""
    base = Settings()
    storage = dataclasses.replace(base.storage, dir=folder)
    api = ApiSettings(sync_wait_s=10.0, rate_limit=RateLimitSettings(enabled=False))
    return dataclasses.replace(base, api=api, storage=storage)


def voice_record(voice_id: str, *, kind: VoiceType = VoiceType.BUILTIN) -> Voice:
    return Voice(id=voice_id, name=voice_id, type=kind, status=VoiceStatus.READY, fingerprint=f"print of {voice_id}")


def serve(settings: Settings, *, worker: WorkerState | None = WORKER, buckets: Buckets | None = None) -> Service:
    stores = memory_stores(settings)
    for voice_id in ("default", "voice_001"):
        stores.voices.create(voice_record(voice_id))
    if worker is not None:
        stores.workers.heartbeat(worker, ttl_s=1000)
    fake = FakeWorker(stores)
    app = create_app(settings, stores, Links(fake, buckets or MemoryBuckets()))
    return Service(app, stores, fake, settings)


def until(holds: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait for a condition; the test fails when it does not come."""
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come"
        pause.wait(0.01)


def waiting_for_jobs(service: Service) -> int:
    """Callers that wait in this API process."""
    return service.app.extensions["megatts3"].wait_room.waiters()


Build = Callable[..., Service]


def free_port() -> int:
    """A port of loopback nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
