"""Reading a job that is to be spread over the workers: what of it is there already, and the rest as a Joining.

A long text is one part; a job of items has one an item, and an item that cannot be read or whose voice is gone fails
alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

from contract import blob_keys
from contract.errors import ServiceError
from contract.last_words import LastWords
from contract.records import items_from_bytes
from contract.schemas import Item, ItemState, Job, JobResult, JobStatus
from contract.stores.interfaces import Stores
from contract.telemetry import event_log
from megatts3.errors import Cancelled, MegaTTS3Error
from worker.cached_sound import cached_sound
from worker.clocks import Clocks
from worker.company import Company
from worker.fan_out import FanOut, Links
from worker.item_texts import ItemTexts, own_failure
from worker.joining import Duties, Joining, OneText
from worker.keeping import Keeper, Told
from worker.leases import Lease, LeaseKeeper
from worker.manuscript import Line, Manuscript, manuscript_of, read_lines
from worker.manuscripts import Manuscripts
from worker.outcomes import Outcomes
from worker.part import Part
from worker.scratch import Scratch
from worker.speech_engine import SpeechEngine
from worker.stages import Stages
from worker.streaming import OutgoingAudio
from worker.translate import seed_of
from worker.voices import VoicePrompts

log = event_log(__name__)

LONG_TEXT = 2000  # characters; a former reading is looked for though no worker is known to have been lost
LEAST_WINDOW = 32  # segments of a job that may be wanted at a time
ROWS_WINDOW = 4  # as many again a row of all workers' batches: nobody runs out while the window is topped up


class Spreader:
    """Safe from many threads."""

    def __init__(
        self,
        stores: Stores,
        engine: SpeechEngine,
        prompts: VoicePrompts,
        leases: LeaseKeeper,
        *,
        keeper: Keeper,
        outcomes: Outcomes,
        manuscripts: Manuscripts,
        links: Links,
        clocks: Clocks,
        company: Company,
        last_words: LastWords,
        scratch: Scratch,
    ) -> None:
        self._stores, self._engine, self._prompts, self._leases = stores, engine, prompts, leases
        self._keeper, self._outcomes, self._manuscripts = keeper, outcomes, manuscripts
        self._links, self._clocks, self._scratch = links, clocks, scratch
        self._duties = Duties(company, leases.tell, last_words)

    def text(self, lease: Lease, manuscript: Manuscript, stage: Stages, *, began_s: float) -> Joining:
        """A text of several segments."""
        job = lease.job
        self._manuscripts.keep(job.work_id, manuscript)
        is_uploaded = job.reference_audio_blob is not None
        request = replace(manuscript.requests[0], text=job.request.text)
        part = Part(request, fingerprint=job.fingerprint, is_uploaded=is_uploaded, scratch=self._scratch)

        def keep(whole: Part) -> JobResult:
            result = whole.keep(
                self._keeper,
                audio_blob=blob_keys.job_audio(job.work_id, job.request.response_format),
                times_blob=blob_keys.job_timestamps(job.work_id),
                synthesis_s=self._clocks.measure_s() - began_s,
                stage=stage,
                company=self._duties.for_the_end_of(lease),
            )
            self._keeper.spoken(job, result)
            return result

        outgoing = OutgoingAudio(self._stores.chunks, job, lease.token, scratch=self._scratch)
        texts = OneText(part, outgoing, keep, at=partial(self._duties.for_a_segment_of, lease))
        return Joining(lease, self._fan_out(job, manuscript, stage), texts, self._outcomes, stage, self._duties)

    def items(self, lease: Lease, stage: Stages, *, began_s: float) -> Joining:
        """A job of items.  What a former attempt ended is left as it is."""
        job = lease.job
        items = items_from_bytes(self._stores.blobs.get(blob_keys.job_items(job.work_id)))
        states = {n: s for n, s in self._stores.jobs.items(job.id).items() if s.status.is_terminal}

        def note(changed: Mapping[int, ItemState]) -> None:
            if not self._stores.jobs.note_items(job.id, lease.token, changed):
                log.warning("items_not_noted", job=job.id)  # the lease is lost, as the next heartbeat tells

        manuscript = self.kept(job)
        if manuscript is None:
            found, lines = self._read(lease, items, ended=frozenset(states))
            states |= found
            manuscript = manuscript_of(job, [item.request for item in items], lines, revision=self._engine.revision)
            self._manuscripts.keep(job.work_id, manuscript)
            if found:
                note(found)

        def keep(index: int, part: Part) -> JobResult:
            return part.keep(
                self._keeper,
                audio_blob=blob_keys.item_audio(job.work_id, index, items[index].request.response_format),
                times_blob=blob_keys.item_timestamps(job.work_id, index),
                synthesis_s=self._clocks.measure_s() - began_s,
                stage=stage,
                company=self._duties.for_the_end_of(lease),
            )

        def told(result: JobResult) -> None:
            self._keeper.spoken(job, result)

        texts = ItemTexts(
            job,
            items,
            states,
            new_part=partial(self._part, job),
            keep=keep,
            note=note,
            ended=told,
            spent_s=lambda: self._clocks.measure_s() - began_s,
            at=partial(self._duties.for_a_segment_of, lease),
        )
        fan_out = self._fan_out(job, manuscript, stage, skip=frozenset(states))
        return Joining(lease, fan_out, texts, self._outcomes, stage, self._duties)

    def _part(self, job: Job, item: Item) -> Part:
        is_uploaded = job.reference_audio_blob is not None
        return Part(item.request, fingerprint=item.fingerprint, is_uploaded=is_uploaded, scratch=self._scratch)

    def _read(
        self, lease: Lease, items: tuple[Item, ...], *, ended: Collection[int]
    ) -> tuple[dict[int, ItemState], list[Line]]:
        """What is over already, from the cache or because it cannot be spoken; and the lines of the rest."""
        states: dict[int, ItemState] = {}
        lines: list[Line] = []
        for index, item in enumerate(items):
            if lease.must_stop:
                raise Cancelled(lease.work_id)
            if index in ended:
                continue
            job = replace(lease.job, request=item.request)
            try:
                voice = self._prompts.of_job(job)
                if (cached := self._cached(index, item, job)) is not None:
                    states[index] = ItemState(JobStatus.DONE, result=cached)
                    continue
                request = replace(item.request, seed=seed_of(job, voice))
                engine = self._engine
                lines += read_lines(job, request, voice, item=index, revision=engine.revision, read=engine.read)
            except (ServiceError, MegaTTS3Error) as error:
                states[index] = ItemState(JobStatus.FAILED, error=own_failure(error))
                log.info("item_failed", job=job.id, item=index)
        return states, lines

    def _cached(self, index: int, item: Item, job: Job) -> JobResult | None:
        """Audio that an equal request left."""
        began_s = self._clocks.measure_s()
        stores, engine, prompts = self._stores, self._engine, self._prompts
        found = cached_sound(job, item.fingerprint, stores=stores, engine=engine, prompts=prompts)
        if found is None:
            return None
        sound, times = found
        blob = blob_keys.item_audio(job.work_id, index, item.request.response_format)
        told = Told(self._clocks.measure_s() - began_s, from_cache=True, times=times)
        return self._keeper.keep(blob, blob_keys.item_timestamps(job.work_id, index), sound, item.request, told)

    def kept(self, job: Job) -> Manuscript | None:
        """The manuscript of a former attempt, where it is of these weights."""
        if job.attempts < 2 and not job.items and job.characters <= LONG_TEXT:
            return None
        try:
            found = self._manuscripts.of_job(job.work_id)
        except KeyError:
            return None
        return found if found.revision == self._engine.revision else None

    def _fan_out(self, job: Job, manuscript: Manuscript, stage: Stages, *, skip: Collection[int] = ()) -> FanOut:
        rows = sum(worker.max_rows for worker in self._stores.workers.list() if worker.ready)
        return FanOut(
            self._links,
            manuscript,
            job_id=job.work_id,
            priority=job.priority,
            window=max(LEAST_WINDOW, ROWS_WINDOW * rows),
            deadline_at=job.deadline_at,
            rendered=stage.rendered,
            skip=skip,
        )
