"""A worker that only pretends to speak, over the real stores: three pieces of sound, a second apart."""

import io
import threading
import time
import wave

from contract import blob_keys
from contract.schemas import Job, JobProgress, JobResult, JobStatus, Voice, VoiceStatus, VoiceType, WorkerState
from contract.stores.interfaces import Chunk, Stores

PIECES, PAUSE_S, RATE = 3, 1.0, 24_000
PIECE = b"\x01\x02" * (RATE // 4)


def worker_state() -> WorkerState:
    return WorkerState("worker0@edge", 1, "edge", "cpu", "fp32", ready=True, checkpoint="mini", revision="r1")


def voice_record() -> Voice:
    return Voice("default", "Anna", VoiceType.BUILTIN, VoiceStatus.READY, fingerprint="print")


def wav(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(data)
    return buffer.getvalue()


class EdgeWorker:
    """Takes jobs from the record, each in a thread of its own."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._stop, self._go = threading.Event(), threading.Event()
        self._go.set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def hold(self) -> None:
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            if not self._go.is_set():
                continue
            for job in self._stores.jobs.list(status=JobStatus.QUEUED).jobs:
                threading.Thread(target=self._speak, args=(job.id,), daemon=True).start()

    def _speak(self, job_id: str) -> None:
        claim = self._stores.jobs.claim(job_id, worker="worker0@edge", lease_s=60)
        if claim is None:
            return
        job, token = claim.job, claim.token
        deadline = time.monotonic() + 20
        while job.request.stream and not self._stores.chunks.is_wanted(job.id) and time.monotonic() < deadline:
            time.sleep(0.05)  # a slow machine: the pieces come when somebody listens, as a real worker's do
        for number in range(PIECES):
            self._stores.jobs.heartbeat(job.id, token, lease_s=60, progress=JobProgress(number, PIECES, 1, 3, 0.5))
            data = (wav(PIECE)[:44] if number == 0 else b"") + PIECE
            samples = len(PIECE) // 2
            about = {"starts_at": str(number * samples), "ends_at": str((number + 1) * samples), "rate": str(RATE)}
            self._stores.chunks.append(job.id, token, Chunk(number, data, is_last=number == PIECES - 1, about=about))
            time.sleep(PAUSE_S)
        self._stores.jobs.finish(job.id, token, self._result(job))

    def _result(self, job: Job) -> JobResult:
        data = wav(PIECE * PIECES)
        blob = blob_keys.job_audio(job.id, job.request.response_format)
        self._stores.blobs.put(blob, data)
        return JobResult(blob, job.request.response_format, 0.75, RATE, len(data), synthesis_s=1.5, predicted_s=0.75)
