"""A claimed job whose segments are spread over the workers, from its first segment to its end; without a thread.

What becomes of the segments is told by its texts: one (OneText), or the items of a batch (item_texts.py).
"""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from contract.errors import ErrorInfo, ServiceError
from contract.last_words import JoinedLast, LastWords
from contract.schemas import JobProgress, JobResult
from worker.company import Company
from worker.fan_out import Failed, FanOut, Taken
from worker.leases import Lease
from worker.outcomes import Outcomes
from worker.part import Part
from worker.stages import Stages
from worker.streaming import OutgoingAudio
from worker.translate import to_job_progress

At = Callable[[int], AbstractContextManager[None]]  # to be in while the segment of that place is joined

AT_A_TIME = 4  # segments of a look: then it is another job's turn


class Texts(Protocol):
    """Where a job's segments go.  Used by one thread at a time."""

    def push(self, taken: Taken) -> bool:
        """The next segment of an item; whether any more of that item are wanted."""

    def failed(self, item: int, error: ErrorInfo) -> None:
        """No more of this item will come.  Raises where that is the end of the job."""

    def looked(self) -> None:
        """After each look that brought something."""

    def end(self) -> JobResult:
        """Nothing more will come.  Raises where there is nothing to show."""

    def progress(self) -> JobProgress:
        """What only the texts know of it: seconds of audio, items."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Duties:
    """What is owed so that a crash tells whose fault it was.  tell: passes a lease's progress on now;  last_words: are
    found by who started this process.
    """

    company: Company
    tell: Callable[[Lease], None]
    last_words: LastWords

    @contextmanager
    def for_a_segment_of(self, lease: Lease, place: int) -> Iterator[None]:
        """While a segment of it is joined and encoded.  Alone, where a worker was lost with it at this very place."""
        alone = lease.job.lost_at == place
        with (
            self.company.alone() if alone else self.company.beside(),
            self.last_words.about(JoinedLast(lease.work_id, place, alone)),
        ):
            yield

    @contextmanager
    def for_the_end_of(self, lease: Lease) -> Iterator[None]:
        """While a text of it is joined and encoded, a job may be to blame; while it waits for that, it is not.

        Once a worker was lost with it, that is done alone.  Storing it may take its time, and is not.
        """
        is_suspect = lease.job.attempts > 1
        try:
            with self.company.alone() if is_suspect else self.company.beside():
                lease.is_ending = True
                self.tell(lease)
                yield
        finally:
            lease.is_ending = False
            if is_suspect:  # a second loss would convict it: nobody waits for the next heartbeat to say so
                self.tell(lease)


class Joining:
    """See joiners.Joinable."""

    def __init__(
        self, lease: Lease, fan_out: FanOut, texts: Texts, outcomes: Outcomes, stage: Stages, duties: Duties
    ) -> None:
        self.name, self.priority = lease.work_id, lease.job.priority
        self._lease, self._fan_out, self._texts, self._outcomes = lease, fan_out, texts, outcomes
        self._stage, self._within = stage, stage.begin("engine")
        self._duties = duties
        self._held = ExitStack()
        self._context = contextvars.copy_context()  # the request's id and trace, for log and spans
        lease.is_resumable = True
        lease.follow(fan_out, self._progress)

    def keep(self, held: ExitStack) -> None:
        """From now on this is what holds the lease."""
        self._held = held

    def advance(self) -> bool | None:
        return self._context.run(self._advance)

    def _advance(self) -> bool | None:
        try:
            with self._within():
                with self._duties.company.beside():
                    found = self._fan_out.take(AT_A_TIME)
                for one in found:
                    self._pass_on(one)
                if found:
                    self._texts.looked()
            if not self._fan_out.is_over:
                return False if len(found) == AT_A_TIME else None
            self._stage.end()
            result = self._texts.end()
        except Exception as error:  # noqa: BLE001 - the task wrapper: the record must say how it ended
            self._outcomes.ended_by(self._lease, error)
        else:
            self._outcomes.done(self._lease, result)
        self._stage.end()
        self._texts.close()
        self._held.close()
        return True

    def _pass_on(self, one: Taken | Failed) -> None:
        if isinstance(one, Failed):
            self._texts.failed(one.item, one.error)
        elif not self._texts.push(one):
            self._fan_out.drop(one.item)

    def _progress(self) -> JobProgress:
        known = self._texts.progress()
        told = to_job_progress(self._fan_out.progress, audio_s=known.audio_s)
        items = {"items_done": known.items_done, "items_failed": known.items_failed}
        return replace(told, **items, is_ending=self._lease.is_ending)


class OneText:
    """A long text: one file, heard while it is spoken by whoever wants to."""

    def __init__(self, part: Part, outgoing: OutgoingAudio, keep: Callable[[Part], JobResult], *, at: At) -> None:
        self._part, self._outgoing, self._keep, self._at = part, outgoing, keep, at

    def push(self, taken: Taken) -> bool:
        segment = taken.segment
        with self._at(taken.place):
            self._part.push(segment, reused=taken.reused)
            self._outgoing.push(segment.waveform, more=segment.index + 1 < segment.count)
        return True

    def failed(self, item: int, error: ErrorInfo) -> None:
        del item
        raise ServiceError(error.code, error.detail)

    def looked(self) -> None:
        """Nothing to tell."""

    def end(self) -> JobResult:
        self._outgoing.finish()
        return self._keep(self._part)

    def progress(self) -> JobProgress:
        return JobProgress(audio_s=self._part.spoken_s)

    def close(self) -> None:
        self._outgoing.close()
        self._part.close()
