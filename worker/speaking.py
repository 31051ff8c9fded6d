"""One synthesis job, from claim to stored audio.  How it ends is outcomes.py."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.fingerprint import with_seed
from contract.schemas import Job, JobProgress, JobResult, JobStatus
from contract.stores.interfaces import CachedAudio, Stores
from contract.telemetry import event_log
from contract.tracing import Tracing
from megatts3.api import Passage, SegmentResult, VoicePrompt
from megatts3.audio.join import OVERLAP_S
from megatts3.errors import Cancelled
from worker.company import Company
from worker.encoding import EncodedAudio, encode_waveform, join_segments
from worker.fan_out import FanOut, Links
from worker.figures import Figures
from worker.leases import Lease, LeaseKeeper
from worker.manuscript import Manuscript, read_manuscript
from worker.manuscripts import Manuscripts
from worker.outcomes import Outcomes
from worker.segment_times import SegmentTrace
from worker.speech_engine import RunningRequest, SpeechEngine
from worker.spoken_times import times_of, times_of_plan
from worker.stages import Stages
from worker.streaming import OutgoingAudio
from worker.throughput import Throughput
from worker.translate import to_job_progress, to_sampling_params, to_synthesis_request
from worker.voices import VoicePrompts

log = event_log(__name__)

LONG_TEXT = 2000  # characters; a former reading is looked for though no worker is known to have been lost
LEAST_WINDOW = 32  # segments of a job that may be wanted at a time
ROWS_WINDOW = 4  # as many again a row of all workers' batches: nobody runs out while the window is topped up


def predicted_duration_s(segments: Sequence[SegmentResult]) -> float:
    """What the plan said the joined audio would last, before anything was rendered."""
    return sum(segment.planned_s for segment in segments) - OVERLAP_S * max(0, len(segments) - 1)


def seed_of(job: Job, voice: VoicePrompt) -> int:
    """The one stamped on the job, else one derived from its content: equal requests sound equal."""
    seed = with_seed(job.request, voice=voice.fingerprint).seed
    assert seed is not None
    return seed


@dataclass(frozen=True)
class Clocks:
    """Wall clock for records, the engine's own for deadlines, a fine one for measuring."""

    unix_s: Callable[[], float] = time.time
    engine_s: Callable[[], float] = time.monotonic
    measure_s: Callable[[], float] = time.perf_counter

    def to_engine(self, unix_s: float) -> float:
        """A moment of the wall clock on the engine's clock."""
        return self.engine_s() + (unix_s - self.unix_s())


class Speaker:
    """Speaks jobs with one engine; safe from many threads."""

    def __init__(
        self,
        stores: Stores,
        engine: SpeechEngine,
        prompts: VoicePrompts,
        leases: LeaseKeeper,
        *,
        figures: Figures,
        tracing: Tracing,
        outcomes: Outcomes,
        manuscripts: Manuscripts,
        links: Links,
        clocks: Clocks,
        company: Company,
        is_draining: Callable[[], bool],
    ) -> None:
        self.throughput = Throughput()
        self._manuscripts, self._links = manuscripts, links
        self._company, self._is_draining = company, is_draining
        self._stores, self._engine, self._prompts, self._leases = stores, engine, prompts, leases
        self._figures, self._tracing, self._outcomes, self._clocks = figures, tracing, outcomes, clocks

    def speak(self, job_id: str, *, worker: str, lease_s: float) -> None:
        """Claim, synthesize, store, record.  A job not to be had (a second delivery) is left alone.

        A job that a worker was lost with before is spoken alone, and claimed only then (company.py).
        """
        with ExitStack() as company:
            claim = None
            company.enter_context(self._company.beside())
            if not self._is_draining():
                claim = self._stores.jobs.claim(job_id, worker=worker, lease_s=lease_s, suspects=False)
            if claim is None and self._waits_as_suspect(job_id):
                company.close()
                company.enter_context(self._company.alone())
                if not self._is_draining():
                    claim = self._stores.jobs.claim(job_id, worker=worker, lease_s=lease_s)
            if claim is None:
                log.info("job_not_to_be_had", job=job_id)
                return
            self._figures.claimed(claim.job)
            with self._leases.hold(claim) as lease:
                try:
                    result = self._result(lease, company)
                except Exception as error:  # noqa: BLE001 - the task wrapper: the record must say how it ended
                    self._outcomes.ended_by(lease, error)
                else:
                    self._outcomes.done(lease, result)
                    if not result.from_cache:
                        self._tell(lease.job, result)  # after whoever waits for the job has it

    def _waits_as_suspect(self, job_id: str) -> bool:
        job = self._stores.jobs.leader(job_id)
        return job is not None and job.status is JobStatus.QUEUED and job.attempts > 0

    def _result(self, lease: Lease, company: ExitStack) -> JobResult:
        job = lease.job
        began_s = self._clocks.measure_s()
        stage = Stages(self._figures, self._tracing)
        stage.queued(job.created_at, job.started_at or job.created_at)
        self._check_deadline(job)
        if (cached := self._cached(job)) is not None:
            times = self._times_of_cached(job)
            company.close()
            spent_s = self._clocks.measure_s() - began_s
            return self._stored(job, cached, synthesis_s=spent_s, from_cache=True, times=times)
        with stage("voice"):
            voice = self._prompts.of_job(job)
        params = to_sampling_params(job.request, seed=seed_of(job, voice))
        if lease.must_stop:
            raise Cancelled(job.work_id)
        with stage("text"):
            manuscript = self._manuscript(job, voice, seed=params.seed)
        reused = 0
        with stage("engine"):
            if len(manuscript.lines) > 1:
                company.close()  # while others render; each segment is looked after where it is rendered
                spread, lease.is_resumable = self._spread(job, manuscript, stage.rendered), True
                segments = self._follow(lease, spread, tell=self._leases.tell)
                if job.attempts > 1:
                    company.enter_context(self._company.alone())
                reused = spread.reused
            else:
                request = to_synthesis_request(job, voice, params, to_engine_time=self._clocks.to_engine)
                passage = Passage([line.segment for line in manuscript.lines], 0, 1)
                segments = self._follow(lease, self._engine.submit(replace(request, passage=passage)))
            for segment in segments:
                stage.segment(segment)
        if self._is_erased(job):
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND)
        with stage("join"):
            joined = join_segments([segment.waveform for segment in segments])
        with stage("encode"):
            encoded = encode_waveform(joined, job.request)
        company.close()  # storing it may take its time
        synthesis_s = self._clocks.measure_s() - began_s
        result = self._stored(
            job,
            encoded,
            synthesis_s=synthesis_s,
            segments=len(segments),
            reused=reused,
            predicted_s=predicted_duration_s(segments),
            stages_ms=stage.rounded_ms(),
            times=times_of(segments),
        )
        self._remember(job, encoded, seed=params.seed)
        return result

    def _tell(self, job: Job, result: JobResult) -> None:
        audio_s, synthesis_s = result.duration_s, result.synthesis_s
        self.throughput.note(audio_s=audio_s, synthesis_s=synthesis_s)
        self._figures.spoken(audio_s=audio_s, synthesis_s=synthesis_s)
        log.synthesis_time(
            synthesis_s,
            job=job.id,
            voice=job.request.voice_id,
            audio_s=round(audio_s, 3),
            rtf=round(result.rtf, 3),
            segments=result.segments,
            reused=result.segments_reused,
        )

    def _manuscript(self, job: Job, voice: VoicePrompt, *, seed: int) -> Manuscript:
        """The job's text, read; kept for the other workers where there is something to share."""
        if job.attempts > 1 or len(job.request.text) > LONG_TEXT:
            try:
                found = self._manuscripts.of_job(job.work_id)
            except KeyError:
                found = None
            if found is not None and found.revision == self._engine.revision:
                return found
        manuscript = read_manuscript(
            job,
            [replace(job.request, seed=seed)],
            [voice],
            revision=self._engine.revision,
            read=self._engine.read,
        )
        if len(manuscript.lines) > 1:
            self._manuscripts.keep(job.work_id, manuscript)
        return manuscript

    def _spread(self, job: Job, manuscript: Manuscript, rendered: Callable[[SegmentTrace], None]) -> FanOut:
        rows = sum(worker.max_rows for worker in self._stores.workers.list() if worker.ready)
        return FanOut(
            self._links,
            manuscript,
            job_id=job.work_id,
            priority=job.priority,
            window=max(LEAST_WINDOW, ROWS_WINDOW * rows),
            deadline_at=job.deadline_at,
            rendered=rendered,
        )

    def _follow(
        self, lease: Lease, running: RunningRequest, *, tell: Callable[[Lease], None] = lambda _: None
    ) -> list[SegmentResult]:
        """Collect the segments, and pass them on as they come; the lease reports progress and can cancel.

        tell: called when there is nothing to do but wait, and when that is over.
        """
        segments: list[SegmentResult] = []

        def report() -> JobProgress:
            spoken_s = sum(segment.waveform.duration_s for segment in tuple(segments))
            return to_job_progress(running.progress, audio_s=spoken_s)

        lease.follow(running, report)
        tell(lease)
        outgoing = OutgoingAudio(self._stores.chunks, lease.job, lease.token)
        for segment in running:
            segments.append(segment)
            outgoing.push(segment.waveform, more=segment.index + 1 < segment.count)
        outgoing.finish()
        tell(lease)
        return segments

    def _check_deadline(self, job: Job) -> None:
        if job.deadline_at is not None and self._clocks.unix_s() >= job.deadline_at:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)

    def _cached(self, job: Job) -> EncodedAudio | None:
        """Audio another job of the same fingerprint left while this one waited."""
        if job.fingerprint is None or not job.request.cache:
            return None
        found = self._stores.audio_cache.get(job.fingerprint)
        return None if found is None else EncodedAudio(found.data, found.duration_s, found.sample_rate)

    def _times_of_cached(self, job: Job) -> bytes:
        """Planned once more, which gives the same as when it was spoken, at a fraction of the work."""
        voice = self._prompts.of_job(job)
        params = to_sampling_params(job.request, seed=seed_of(job, voice))
        return times_of_plan(self._engine.plan(job.request.text, voice, params))

    def _stored(
        self,
        job: Job,
        audio: EncodedAudio,
        *,
        synthesis_s: float,
        segments: int = 1,
        reused: int = 0,
        predicted_s: float | None = None,
        from_cache: bool = False,
        stages_ms: Mapping[str, float] | None = None,
        times: bytes | None = None,
    ) -> JobResult:
        blob = blob_keys.job_audio(job.work_id, job.request.response_format)
        times_blob = None if times is None else blob_keys.job_timestamps(job.work_id)
        beside = {} if times_blob is None or times is None else {times_blob: times}
        self._stores.blobs.put_all({blob: audio.data, **beside})
        return JobResult(
            audio_blob=blob,
            audio_format=job.request.response_format,
            duration_s=audio.duration_s,
            sample_rate=audio.sample_rate,
            size_bytes=len(audio.data),
            synthesis_s=synthesis_s,
            segments=segments,
            segments_reused=reused,
            predicted_s=predicted_s,
            from_cache=from_cache,
            stages_ms=stages_ms or {},
            timestamps_blob=times_blob,
        )

    def _is_erased(self, job: Job) -> bool:
        """Was the voice erased meanwhile, and with it all that was made from it?"""
        return job.reference_audio_blob is None and self._stores.voices.get(job.request.voice_id) is None

    def _remember(self, job: Job, audio: EncodedAudio, *, seed: int) -> None:
        if job.fingerprint is None or not job.request.cache:
            return
        if self._is_erased(job):
            return
        self._stores.audio_cache.put(
            job.fingerprint,
            CachedAudio(
                data=audio.data,
                voice_id=job.request.voice_id,
                audio_format=job.request.response_format,
                duration_s=audio.duration_s,
                sample_rate=audio.sample_rate,
                created_at=self._clocks.unix_s(),
                seed=seed,
            ),
        )
