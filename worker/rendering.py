"""Render segments of any job, whoever claimed the job: a few threads that claim, render, store and claim again.

Rows of the batch bound how many; one row is kept from the batch class, so that somebody who waits for a sentence
need not wait for a book's.  A segment that a worker was lost with before is rendered alone (company.py).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from contract import blob_keys
from contract.errors import ErrorCode, ErrorInfo, ServiceError
from contract.schemas import Priority
from contract.stores.interfaces import BlobStore
from contract.stores.segments import RunningSegment, SegmentRecord, SegmentStore
from contract.telemetry import event_log
from megatts3.api import Passage, SegmentResult, SynthesisRequest
from megatts3.errors import Cancelled, EngineStopped
from worker import segment_audio
from worker.company import Company
from worker.manuscripts import Manuscripts
from worker.segment_times import now_unix_s, told
from worker.speech_engine import RunningRequest, SpeechEngine
from worker.translate import PRIORITIES, to_error_info, to_sampling_params
from worker.voices import VoicePrompts

log = event_log(__name__)

SUSPECTS = 2  # threads: one is alone while the other stores what it has, so that they follow each other closely
LOOK_AGAIN_S = 2.0  # an announcement of new work may be lost


@dataclass
class _Rendering:
    """One claimed segment; `stop` may come before there is anything to cancel.  Changed under the lock."""

    record: SegmentRecord
    running: RunningRequest | None = None
    must_stop: bool = False
    claimed_at: float = field(default_factory=now_unix_s)


class Renderers:
    """The threads, and the one that renews what they hold."""

    def __init__(
        self,
        segments: SegmentStore,
        blobs: BlobStore,
        engine: SpeechEngine,
        *,
        prompts: VoicePrompts,
        manuscripts: Manuscripts,
        company: Company,
        ring: Callable[[str], None],
        worker: str,
        rows: int,
        lease_s: float,
        heartbeat_s: float,
    ) -> None:
        """ring: tells a job of this process that one of its segments ended."""
        self._segments, self._blobs, self._engine = segments, blobs, engine
        self._prompts, self._manuscripts, self._ring = prompts, manuscripts, ring
        self._company = company
        self._worker, self._lease_s, self._heartbeat_s = worker, lease_s, heartbeat_s
        self._most = rows + 1  # the next one is prepared while the others run
        self._most_batch = max(1, rows - 1)
        self._changed = threading.Condition()
        self._held: dict[str, _Rendering] = {}
        self._claiming_batch = 0
        self._news = 0
        self._takes_batch, self._stopping = True, False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Once; a second call does nothing."""
        if self._threads:
            return
        names = [f"render{n}" for n in range(self._most)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        self._threads += [
            threading.Thread(target=self._work_on_suspects, name=f"suspects{n}", daemon=True) for n in range(SUSPECTS)
        ]
        self._threads.append(threading.Thread(target=self._keep, name="render-leases", daemon=True))
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be work."""
        with self._changed:
            self._news += 1
            self._changed.notify_all()

    def drain(self) -> None:
        """From now on only for those who wait; a book goes on elsewhere."""
        with self._changed:
            self._takes_batch = False

    def stop(self) -> None:
        """Give back what is held and end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.stop_rendering(*self._keys())
        for thread in self._threads:
            thread.join()

    def stop_rendering(self, *keys: str) -> None:
        """Nobody wants these any more, or another worker has them."""
        with self._changed:
            found = [self._held[key] for key in keys if key in self._held]
            for each in found:
                each.must_stop = True
        for each in found:
            if each.running is not None:
                each.running.cancel()

    @property
    def held(self) -> int:
        with self._changed:
            return len(self._held)

    def beat(self) -> None:
        """Renew every lease once; obey what the answer says."""
        with self._changed:
            holding = list(self._held.values())
        if not holding:
            return
        told = [RunningSegment(each.record.key, each.record.token, _steps(each)) for each in holding]
        try:
            self.stop_rendering(*self._segments.renew(told, lease_s=self._lease_s))
        except ServiceError as error:  # Redis is away: the leases may outlast it
            log.warning("segment_leases_not_renewed", code=error.code)

    # ---- the threads

    def _keep(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, self._heartbeat_s):
                    return
            self.beat()

    def _work(self) -> None:
        while not self._stopping:
            with self._changed:
                seen = self._news
            with self._company.beside():
                held = self._claim()
                outcome = None if held is None else self._tried(held)
            if held is None or outcome is None:
                self._wait_for_news(seen)
            else:
                self._settle(held, outcome)

    def _work_on_suspects(self) -> None:
        while not self._stopping:
            with self._changed:
                seen = self._news
            if not self._take_a_suspect():
                self._wait_for_news(seen)

    def _take_a_suspect(self) -> bool:
        try:
            if not self._takes_batch or not self._segments.has_suspects():
                return False
            with self._company.alone():
                if self._stopping:
                    return False
                record = self._segments.claim_suspect(worker=self._worker, lease_s=self._lease_s)
                if record is None:  # another worker was first
                    return False
                held = _Rendering(record)
                with self._changed:
                    self._held[record.key] = held
                outcome = self._tried(held)
        except ServiceError as error:
            log.warning("segment_not_claimed", code=error.code)
            return False
        self._settle(held, outcome)
        return True

    def _wait_for_news(self, seen: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._news != seen, LOOK_AGAIN_S)

    def _claim(self) -> _Rendering | None:
        """A segment, entered into what is held.  None: there is none for us, or the store is away."""
        with self._changed:
            batch = sum(each.record.priority is Priority.BATCH for each in self._held.values())
            takes_batch = self._takes_batch and batch + self._claiming_batch < self._most_batch
            self._claiming_batch += takes_batch
        record = None
        try:
            record = self._segments.claim(worker=self._worker, lease_s=self._lease_s, batch=takes_batch)
        except ServiceError as error:
            log.warning("segment_not_claimed", code=error.code)
        held = None if record is None else _Rendering(record)
        with self._changed:
            self._claiming_batch -= takes_batch
            if held is not None:
                self._held[held.record.key] = held
        return held

    def _tried(self, held: _Rendering) -> SegmentResult | Exception:
        try:
            return self._spoken(held)
        except Exception as error:  # noqa: BLE001 - settled by whoever asked
            return error

    def _settle(self, held: _Rendering, outcome: SegmentResult | Exception) -> None:
        """Store what came of it.  That may take its time (a full disk, Redis away), and nobody needs to wait for it."""
        try:
            if isinstance(outcome, Exception):
                self._failed(held, outcome)
            else:
                self._end(held, outcome)
        except Exception as error:  # noqa: BLE001 - the task wrapper: the record must say how it ended
            self._failed(held, error)
        finally:
            with self._changed:
                self._held.pop(held.record.key, None)
                self._news += 1  # a place is free: whoever waits for one may claim
                self._changed.notify_all()
            self._ring(held.record.job_id)

    def _spoken(self, held: _Rendering) -> SegmentResult:
        record = held.record
        manuscript = self._manuscripts.of_job(record.job_id)
        line = manuscript.line(record.index, record.key)
        job = manuscript.job(record.job_id, line)
        seed = job.request.seed
        assert seed is not None, "a manuscript's requests have their seeds"
        request = SynthesisRequest(
            request_id=f"{record.key}/{record.token}",
            text="",
            voice=self._prompts.of_job(job),
            params=to_sampling_params(job.request, seed=seed),
            priority=PRIORITIES[record.priority],
            passage=Passage((line.segment,), line.index, line.count),
            client=job.owner or "",
        )
        running = self._engine.submit(request)
        with self._changed:
            held.running = running
        if held.must_stop or self._stopping:
            running.cancel()
        (result,) = running
        self._prompts.of_job(job)  # raises where the voice was erased meanwhile: nothing made from it may stay
        return result

    def _end(self, held: _Rendering, result: SegmentResult) -> None:
        record = held.record
        data = segment_audio.to_blob(result.waveform)
        blob = blob_keys.segment_audio(record.key, record.token)
        self._blobs.put(blob, data)
        planned = result.planned
        about: dict[str, object] = {"planned_s": round(result.planned_s, 3)}
        about |= told(result.times, claimed_at=held.claimed_at)
        if planned is not None:
            about |= {"durations": list(planned.durations), "pitch": planned.pitch}
        if not self._segments.finish(record.key, record.token, blob=blob, size_bytes=len(data), about=about):
            log.warning("segment_refused", segment=record.key)
            self._blobs.delete(blob)

    def _failed(self, held: _Rendering, error: Exception) -> None:
        record, info = held.record, to_error_info(error)
        try:
            if isinstance(error, Cancelled) or (isinstance(error, EngineStopped) and self._stopping):
                self._segments.release(record.key, record.token)
            elif isinstance(error, EngineStopped):  # a crash of ours: the lease runs out and counts it
                log.error("engine_stopped", segment=record.key)
            elif info.code is ErrorCode.STORE_UNAVAILABLE:  # says nothing about the segment
                self._segments.release(record.key, record.token)
            elif isinstance(error, KeyError):  # the job was erased meanwhile, manuscript and all
                log.info("segment_without_manuscript", segment=record.key)
                self._segments.fail(record.key, record.token, ErrorInfo(ErrorCode.CANCELLED, "the job was erased"))
            else:
                log.warning(
                    "segment_failed", segment=record.key, code=info.code, exc_info=error if info.code in OURS else None
                )
                self._segments.fail(record.key, record.token, info)
        except ServiceError as away:  # the lease runs out, and a sweep queues it again
            log.warning("segment_outcome_not_written", segment=record.key, code=away.code)

    def _keys(self) -> tuple[str, ...]:
        with self._changed:
            return tuple(self._held)


OURS = frozenset({ErrorCode.INTERNAL, ErrorCode.SYNTHESIS_FAILED})  # told with a traceback


def _steps(held: _Rendering) -> int:
    return 0 if held.running is None else held.running.progress.steps_done
