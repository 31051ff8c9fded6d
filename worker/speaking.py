"""One synthesis job, from claim to stored audio.  How it ends is outcomes.py.

A job of one segment is spoken on the thread that claimed it.  Any other is handed on (spreading.py, joining.py), and
the thread is free again.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, JobProgress, JobResult, JobStatus
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from contract.tracing import Tracing
from megatts3.api import Passage, SegmentResult, VoicePrompt
from megatts3.errors import Cancelled
from worker.cached_sound import cached_sound
from worker.clocks import Clocks
from worker.company import Company
from worker.encoding import encode_waveform, join_segments
from worker.figures import Figures
from worker.joiners import Joiners
from worker.joining import Joining
from worker.keeping import Keeper, Sound, Told, planned_of, predicted_duration_s
from worker.leases import Lease, LeaseKeeper
from worker.manuscript import Manuscript, manuscript_of, read_lines
from worker.outcomes import Outcomes
from worker.scratch import Scratch
from worker.speech_engine import RunningRequest, SpeechEngine
from worker.spoken_times import times_of
from worker.spreading import Spreader
from worker.stages import Stages
from worker.streaming import OutgoingAudio
from worker.translate import seed_of, to_job_progress, to_sampling_params, to_synthesis_request
from worker.voices import VoicePrompts

log = event_log(__name__)

BOOK = 2000  # characters; a longer text is not begun while this worker joins as many as it may


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
        keeper: Keeper,
        spreader: Spreader,
        joiners: Joiners,
        clocks: Clocks,
        company: Company,
        scratch: Scratch,
        is_draining: Callable[[], bool],
    ) -> None:
        self._keeper, self._spreader, self._joiners = keeper, spreader, joiners
        self._company, self._scratch, self._is_draining = company, scratch, is_draining
        self._stores, self._engine, self._prompts, self._leases = stores, engine, prompts, leases
        self._figures, self._tracing, self._outcomes, self._clocks = figures, tracing, outcomes, clocks

    def speak(self, job_id: str, *, worker: str, lease_s: float) -> None:
        """Claim, synthesize, store, record; or hand on what is spread.  A job not to be had (a second delivery) is
        left alone.

        A job that a worker was lost with before is spoken alone, and claimed only then (company.py).
        """
        if self._joiners.is_full and (self._stores.jobs.characters(job_id) or 0) > BOOK:
            log.info("job_left_waiting", job=job_id)  # a sweep sends it again
            return
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
            with ExitStack() as held:
                lease = held.enter_context(self._leases.hold(claim))
                try:
                    outcome = self._spoken(lease, company)
                except Exception as error:  # noqa: BLE001 - the task wrapper: the record must say how it ended
                    self._outcomes.ended_by(lease, error)
                    return
                if isinstance(outcome, JobResult):
                    self._outcomes.done(lease, outcome)
                    if not outcome.from_cache:
                        self._keeper.spoken(lease.job, outcome)  # after whoever waits for the job has it
                    return
                outcome.keep(held.pop_all())
                self._leases.tell(lease)
                self._joiners.add(outcome)

    def _waits_as_suspect(self, job_id: str) -> bool:
        job = self._stores.jobs.leader(job_id)
        return job is not None and job.status is JobStatus.QUEUED and job.attempts > 0

    def _spoken(self, lease: Lease, company: ExitStack) -> JobResult | Joining:
        job = lease.job
        began_s = self._clocks.measure_s()
        stage = Stages(self._figures, self._tracing)
        stage.queued(job.created_at, job.started_at or job.created_at)
        self._check_deadline(job)
        if job.items:
            with stage("text"):
                return self._spreader.items(lease, stage, began_s=began_s)
        if (cached := self._cached(job, began_s, company)) is not None:
            return cached
        with stage("voice"):
            voice = self._prompts.of_job(job)
        request = replace(job.request, seed=seed_of(job, voice))
        if lease.must_stop:
            raise Cancelled(job.work_id)
        with stage("text"):
            manuscript = self._spreader.kept(job) or self._manuscript(replace(job, request=request), voice)
        if len(manuscript.lines) > 1:  # a segment that is to blame is looked after where it is rendered
            return self._spreader.text(lease, manuscript, stage, began_s=began_s)
        return self._direct(lease, manuscript, voice, stage, company, began_s=began_s)

    def _direct(
        self,
        lease: Lease,
        manuscript: Manuscript,
        voice: VoicePrompt,
        stage: Stages,
        company: ExitStack,
        *,
        began_s: float,
    ) -> JobResult:
        """One segment, on this thread."""
        job, wanted = lease.job, manuscript.requests[0]
        assert wanted.seed is not None, "a manuscript's requests have their seeds"
        with stage("engine"):
            params = to_sampling_params(job.request, seed=wanted.seed)
            request = to_synthesis_request(job, voice, params, to_engine_time=self._clocks.to_engine)
            passage = Passage([line.segment for line in manuscript.lines], 0, 1)
            segments = self._follow(lease, self._engine.submit(replace(request, passage=passage)))
            for segment in segments:
                stage.segment(segment)
        is_uploaded = job.reference_audio_blob is not None
        self._keeper.require_voice(job.request, is_uploaded=is_uploaded)
        with stage("join"):
            joined = join_segments([segment.waveform for segment in segments])
        with stage("encode"):
            encoded = encode_waveform(joined, job.request)
        company.close()  # storing it may take its time
        sound = Sound.of_bytes(encoded.data, encoded.duration_s, encoded.sample_rate)
        told = Told(
            self._clocks.measure_s() - began_s,
            segments=len(segments),
            predicted_s=predicted_duration_s(planned_of(segments)),
            stages_ms=stage.rounded_ms(),
            times=times_of(segments),
        )
        result = self._kept(job, sound, told)
        seeded = replace(job.request, seed=wanted.seed)
        self._keeper.remember(job.fingerprint, sound, seeded, is_uploaded=is_uploaded)
        return result

    def _manuscript(self, job: Job, voice: VoicePrompt) -> Manuscript:
        """The job's text, read.  The request has its seed."""
        engine = self._engine
        lines = read_lines(job, job.request, voice, item=0, revision=engine.revision, read=engine.read)
        return manuscript_of(job, [job.request], lines, revision=engine.revision)

    def _follow(self, lease: Lease, running: RunningRequest) -> list[SegmentResult]:
        """Collect the segments, and pass them on as they come; the lease reports progress and can cancel."""
        segments: list[SegmentResult] = []

        def report() -> JobProgress:
            spoken_s = sum(segment.waveform.duration_s for segment in tuple(segments))
            return to_job_progress(running.progress, audio_s=spoken_s)

        lease.follow(running, report)
        outgoing = OutgoingAudio(self._stores.chunks, lease.job, lease.token, scratch=self._scratch)
        for segment in running:
            segments.append(segment)
            outgoing.push(segment.waveform, more=segment.index + 1 < segment.count)
        outgoing.finish()
        return segments

    def _check_deadline(self, job: Job) -> None:
        if job.deadline_at is not None and self._clocks.unix_s() >= job.deadline_at:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED)

    def _cached(self, job: Job, began_s: float, company: ExitStack) -> JobResult | None:
        """Audio another job of the same fingerprint left while this one waited."""
        stores, engine, prompts = self._stores, self._engine, self._prompts
        found = cached_sound(job, job.fingerprint, stores=stores, engine=engine, prompts=prompts)
        if found is None:
            return None
        company.close()  # storing it may take its time
        sound, times = found
        return self._kept(job, sound, Told(self._clocks.measure_s() - began_s, from_cache=True, times=times))

    def _kept(self, job: Job, sound: Sound, told: Told) -> JobResult:
        blob = blob_keys.job_audio(job.work_id, job.request.response_format)
        return self._keeper.keep(blob, blob_keys.job_timestamps(job.work_id), sound, job.request, told)
