"""The use cases of synthesis: check, look up, submit once, wait, cancel.  HTTP is not known here.

A request becomes complete (every default stamped), gets its fingerprint, and then either the audio is known,
or a job of the caller's own is made, which follows an equal one under way or is sent.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contract import blob_keys
from contract.errors import ErrorCode, FieldProblem, ServiceError
from contract.fingerprint import UPLOADED, audio_fingerprint, estimate_audio_s, voice_fingerprint, with_seed
from contract.messages import field_error
from contract.records import items_to_bytes
from contract.schemas import DEFAULT_VOICE, VOICE_ID, Item, Job, JobStatus, Priority, SpeechRequest, VoiceStatus, new_id
from contract.settings import Settings
from contract.stores.interfaces import CachedAudio, Stores
from contract.stores.job_erasure import erase_unkept
from contract.stores.jobs import QueueDepth
from contract.telemetry import event_log
from contract.voice_styles import NEUTRAL, Chosen, chosen, normal_style
from contract.wire import of_item
from megatts3_server.admission import admit, require_ready
from megatts3_server.dispatch import Dispatch
from megatts3_server.format_check import require_writable
from megatts3_server.job_waiting import JobWaiting
from megatts3_server.listening import Listener
from megatts3_server.uploads import Reference
from megatts3_server.waiting import ClientGone, WaitRoom
from megatts3_server.workers_view import WorkersView

log = event_log(__name__)


@dataclass(frozen=True)
class Caller:
    """Who asks.  `owner`: id of the API key.  `is_gone`: has the client hung up?"""

    request_id: str
    owner: str | None = None
    is_gone: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Terms:
    """How a job is to be treated.  deadline_s: seconds from now; None = whenever it is done."""

    priority: Priority = Priority.INTERACTIVE
    deadline_s: float | None = None
    idempotency_key: str | None = None
    body_hash: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    webhook_url: str | None = None


@dataclass(frozen=True)
class Resolved:
    """A request with its voice looked up: complete, and known by its fingerprint."""

    request: SpeechRequest
    fingerprint: str
    reference: Reference | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Heard:
    """Whose voice it will be.  has_style: in the style that was asked for."""

    voice_id: str
    fingerprint: str
    has_style: bool


class Submission:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        *,
        dispatch: Dispatch,
        wait_room: WaitRoom,
        workers: WorkersView,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._stores = settings, stores
        self._dispatch, self._wait_room, self._workers = dispatch, wait_room, workers
        self.waiting = JobWaiting(stores.jobs, wait_room)
        self._clock = clock

    def resolve(self, request: SpeechRequest, reference: Reference | None = None) -> Resolved:
        """Look up the voice and name the audio.  Raises VOICE_NOT_FOUND, VOICE_NOT_READY, STYLE_NOT_FOUND."""
        return self._resolved(request, self._heard(request, reference), reference)

    def resolve_items(self, requests: Sequence[SpeechRequest], reference: Reference | None) -> tuple[Resolved, ...]:
        """As resolve, of every item of a job; each voice is looked up once.  Fields are named `items[3].voice_id`."""
        known: dict[tuple[str, str], _Heard] = {}
        found: list[Resolved] = []
        for place, request in enumerate(requests):
            wanted = (request.voice_id, request.emotion)
            try:
                if wanted not in known:
                    known[wanted] = self._heard(request, reference)
                found.append(self._resolved(request, known[wanted], reference))
            except ServiceError as error:
                raise of_item(error, place) from None
        return tuple(found)

    def _heard(self, request: SpeechRequest, reference: Reference | None) -> "_Heard":
        if reference is not None:
            has_style = normal_style(request.emotion) == NEUTRAL
            return _Heard(UPLOADED, voice_fingerprint(reference.clip, reference.latent), has_style)
        if request.voice_id == DEFAULT_VOICE:
            request = dataclasses.replace(request, voice_id=self._settings.api.default_voice)
        found = self._usable_recording(request)
        voice_print = found.voice.fingerprint or f"{found.voice.id}/v{found.voice.version}"
        return _Heard(request.voice_id, voice_print, found.is_exact)

    def _resolved(self, request: SpeechRequest, heard: "_Heard", reference: Reference | None) -> Resolved:
        warnings: tuple[str, ...] = ()
        if not heard.has_style:
            if request.strict:
                raise self._no_such_style(dataclasses.replace(request, voice_id=heard.voice_id))
            warnings = (f"emotion {request.emotion!r} has no style; neutral is used",)
        emotion = normal_style(request.emotion) if heard.has_style else NEUTRAL
        if (heard.voice_id, emotion) != (request.voice_id, request.emotion):
            request = dataclasses.replace(request, voice_id=heard.voice_id, emotion=emotion)
        request = with_seed(request, voice=heard.fingerprint)
        fingerprint = audio_fingerprint(request, voice=heard.fingerprint, revision=self._revision())
        return Resolved(request, fingerprint, reference, warnings)

    def cached(self, resolved: Resolved) -> CachedAudio | None:
        """The audio, where an equal request was answered before."""
        if not resolved.request.cache:
            return None
        found = self._stores.audio_cache.get(resolved.fingerprint)
        return found if found is not None and found.data else None

    def submit(self, resolved: Resolved, terms: Terms, caller: Caller) -> Job:
        """A job of the caller's own, sent; or following an equal one under way, whose audio it will have.

        Only new work is refused when there is too much of it: who asks again for work under way may join it.
        """
        return self._submitted(self._draft(resolved, terms, caller), resolved, terms)

    def _submitted(self, draft: Job, resolved: Resolved, terms: Terms) -> Job:
        require_writable(resolved.request.response_format, self._workers.snapshot())
        self._store_reference(draft, resolved.reference)
        return self._create(draft, terms)

    def submit_items(self, shared: SpeechRequest, items: Sequence[Resolved], terms: Terms, caller: Caller) -> Job:
        """One job of many texts, sent; admitted for all of them together.  shared: what they have in common."""
        snapshot = self._workers.snapshot()
        for wanted in dict.fromkeys(item.request.response_format for item in items):
            require_writable(wanted, snapshot)
        voices = tuple(sorted({item.request.voice_id for item in items}))
        first = dataclasses.replace(items[0], request=dataclasses.replace(shared, voice_id=voices[0]))
        estimates = [estimate_audio_s(item.request.text, speed=item.request.speed) for item in items]
        draft = dataclasses.replace(
            self._draft(first, terms, caller),
            items=len(items),
            voices=voices,
            written=sum(len(item.request.text) for item in items),
            estimate_s=round(sum(estimates), 3),
            fingerprint=None,  # each item has its own; the job is its maker's alone
        )
        told = items_to_bytes([Item(item.request, item.fingerprint) for item in items])
        self._store_reference(draft, first.reference)
        self._stores.blobs.put(blob_keys.job_items(draft.id), told)
        return self._create(draft, terms)

    def _create(self, draft: Job, terms: Terms) -> Job:
        try:
            created = self._stores.jobs.create(draft, body_hash=terms.body_hash)
        except ServiceError:
            self._drop_blobs(draft)
            raise
        job = created.job
        if created.follows or not created.is_new:
            self._drop_blobs(draft)
        if created.follows:
            log.info("job_joined", job=job.id, work=job.work_id)
            self._send_again(created.raised)
        elif created.is_new:
            self._admit(job, created.depth)
            log.info("job_submitted", job=job.id, priority=job.priority.value)
        return job

    def _admit(self, job: Job, depth: QueueDepth) -> None:
        """Send new work, or take it back and say why."""
        try:
            self._stores.blobs.require_room()
            workers, limits = self._workers.snapshot(), self._settings.jobs
            admit(workers, depth, limits, estimate_s=job.estimate_s, priority=job.priority)
            self._dispatch.synthesize(job)
        except ServiceError:
            self._take_back(job)
            raise

    def _send_again(self, raised: Job | None) -> None:
        """The work became more urgent; its first message stands in a slower queue."""
        if raised is None:
            return
        try:
            self._dispatch.synthesize(raised)
        except ServiceError:
            log.warning("job_not_sent_again", job=raised.id)

    def speak(self, resolved: Resolved, caller: Caller, *, timeout_s: float) -> Job:
        """Submit and wait.  The job: done, or still live when the time was up before (it goes on).

        Raises what the job failed with, and ClientGone: then the job is cancelled.
        """
        terms = Terms(deadline_s=self._settings.api.timeout_s)  # somebody waits for it; nobody will for ever
        draft = self._draft(resolved, terms, caller)
        with self.waiting.before(draft.id, _is_over) as bell:
            job = self._submitted(draft, resolved, terms)
            latest = self._wait_to_end(job, caller, timeout_s=timeout_s, bell=bell)
        return done(latest) if latest.status.is_terminal else latest

    def listen(self, resolved: Resolved, caller: Caller, *, timeout_s: float) -> Listener | Job:
        """Submit and wait for the first piece of audio.  The job where it was done before there was a piece.

        Raises what the job failed with, DEADLINE_EXCEEDED when no piece came (the job goes on), and ClientGone.
        """
        listener = self._listener(self.submit(resolved, Terms(), caller), caller)
        try:
            ended = listener.begin(timeout_s=timeout_s)
        except ServiceError as error:
            if error.code is not ErrorCode.DEADLINE_EXCEEDED:
                listener.close()
            raise
        except ClientGone:
            listener.close()
            raise
        if ended is None:
            return listener
        listener.close()
        return done(ended)

    def _listener(self, job: Job, caller: Caller) -> Listener:
        self._stores.chunks.want(job.work_id)
        return Listener(
            job,
            self._stores,
            self._wait_room,
            is_gone=caller.is_gone,
            cancel=lambda: self._cancel_unwanted(job.id),
        )

    def _wait_to_end(self, job: Job, caller: Caller, *, timeout_s: float, bell: threading.Event) -> Job:
        """bell: hung up before the job was made."""
        try:
            ended = self.waiting.for_status(job, _is_over, timeout_s=timeout_s, is_gone=caller.is_gone, bell=bell)
        except ClientGone:
            self._cancel_unwanted(job.id)
            raise
        except ServiceError as error:
            if error.code is ErrorCode.JOB_NOT_FOUND:  # the caller never asked for a job by its id
                raise ServiceError(ErrorCode.STORE_UNAVAILABLE, job_id=job.id) from error
            raise
        return ended or job

    def audio(self, job: Job) -> bytes:
        """A done job's audio.  Never empty: what was erased meanwhile is JOB_NOT_FOUND."""
        assert job.result is not None
        try:
            data = self._stores.blobs.get(job.result.audio_blob)
        except KeyError:
            raise ServiceError(ErrorCode.JOB_NOT_FOUND, job_id=job.id) from None
        if not data:
            raise ServiceError(ErrorCode.SYNTHESIS_FAILED, job_id=job.id)
        return data

    def _usable_recording(self, request: SpeechRequest) -> Chosen:
        voice_id = request.voice_id
        found = chosen(self._stores.voices, voice_id, request.emotion) if VOICE_ID.fullmatch(voice_id) else None
        if found is None:
            require_ready(self._workers.snapshot())  # the shipped voices come with the first worker
            errors = (field_error("voice_id", FieldProblem.UNKNOWN),)
            raise ServiceError(ErrorCode.VOICE_NOT_FOUND, errors=errors, params={"voice_id": voice_id})
        if found.voice.status is VoiceStatus.FAILED and found.voice.error is not None:
            raise ServiceError(found.voice.error.code, found.voice.error.detail)
        if found.voice.status is VoiceStatus.PREPARING:
            raise ServiceError(ErrorCode.VOICE_NOT_READY)
        return found

    def _no_such_style(self, request: SpeechRequest) -> ServiceError:
        """Names the styles there are."""
        first = self._stores.voices.get(request.voice_id)  # None: an uploaded recording, which is neutral
        styles = NEUTRAL if first is None else first.style
        named = ", ".join((styles, *(record.style for record in self._stores.voices.styles(request.voice_id))))
        errors = (field_error("emotion", FieldProblem.NOT_A_CHOICE, named),)
        return ServiceError(ErrorCode.STYLE_NOT_FOUND, errors=errors)

    def _revision(self) -> str:
        """Of the weights that would answer.  Two revisions at once only happen during an upgrade."""
        return max((worker.revision for worker in self._workers.snapshot().able), default="")

    def _draft(self, resolved: Resolved, terms: Terms, caller: Caller) -> Job:
        job_id = new_id("job")
        has_latent = resolved.reference is not None and resolved.reference.latent is not None
        return Job(
            id=job_id,
            request=resolved.request,
            priority=terms.priority,
            estimate_s=estimate_audio_s(resolved.request.text, speed=resolved.request.speed),
            deadline_at=None if terms.deadline_s is None else self._clock() + terms.deadline_s,
            fingerprint=resolved.fingerprint,
            reference_audio_blob=blob_keys.job_reference(job_id) if resolved.reference else None,
            reference_latent_blob=blob_keys.job_latent(job_id) if has_latent else None,
            request_id=caller.request_id,
            owner=caller.owner,
            idempotency_key=terms.idempotency_key,
            metadata=terms.metadata,
            webhook_url=terms.webhook_url,
        )

    def _store_reference(self, draft: Job, reference: Reference | None) -> None:
        if reference is None or draft.reference_audio_blob is None:
            return
        self._stores.blobs.put(draft.reference_audio_blob, reference.clip)
        if draft.reference_latent_blob is not None and reference.latent is not None:
            self._stores.blobs.put(draft.reference_latent_blob, reference.latent)

    def _drop_blobs(self, draft: Job) -> None:
        if draft.reference_audio_blob is not None or draft.items:
            self._stores.blobs.delete_tree(blob_keys.job_folder(draft.id))

    def _take_back(self, job: Job) -> None:
        """A job nobody was told of goes as if it had never been; else, or should that fail, a sweep sends it later."""
        try:
            if self._stores.jobs.withdraw(job.id):
                erase_unkept(self._stores.jobs, self._stores.blobs, job.work_id)
        except ServiceError:
            log.warning("job_not_taken_back", job=job.id)

    def _cancel_unwanted(self, job_id: str) -> None:
        try:
            self._stores.jobs.request_cancel(job_id)
        except ServiceError:
            log.warning("job_not_cancelled", job=job_id)
        else:
            log.info("job_unwanted", job=job_id)


def _is_over(status: JobStatus) -> bool:
    return status.is_terminal


def done(job: Job) -> Job:
    """The job itself when it is done; raises what it failed with."""
    if job.status is JobStatus.DONE and job.result is not None:
        return job
    if job.status is JobStatus.CANCELLED:
        raise ServiceError(ErrorCode.CANCELLED, job_id=job.id)
    if job.error is None:
        raise ServiceError(ErrorCode.INTERNAL, job_id=job.id)
    raise ServiceError(job.error.code, job.error.detail, job_id=job.id)
