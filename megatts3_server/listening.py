"""Hearing a job's audio while it is spoken: pieces in order, from whichever attempt is under way.

The worker writes chunks (contract.stores.interfaces.ChunkStream); here they are read, one subscriber a process waking
every listener.  A worker that is lost costs its attempt: the next one begins anew, and the listener goes on where it
was, in forms whose bytes are samples; elsewhere, or where the next attempt cuts differently, it ends in an error.
Not here: how pieces become an answer (streamed_answer.py).
"""

import time
from collections.abc import Callable, Iterator

from contract.errors import ErrorCode, ServiceError
from contract.schemas import AudioFormat, Job, JobStatus
from contract.stores.interfaces import Chunk, Stores
from contract.telemetry import event_log
from megatts3_server.waiting import WaitRoom

log = event_log(__name__)

_SAMPLES = frozenset({AudioFormat.WAV, AudioFormat.PCM})  # forms that can be continued by another attempt


class Listener:
    """One caller's place in one job's audio.  Used by one thread."""

    def __init__(
        self,
        job: Job,
        stores: Stores,
        wait_room: WaitRoom,
        *,
        is_gone: Callable[[], bool],
        cancel: Callable[[], None],
    ) -> None:
        """`cancel`: the caller wants its job no more."""
        self.job = job
        self.samples = 0  # of joined sound heard so far, at `source_rate`
        self.source_rate = 0
        self._stores, self._wait_room = stores, wait_room
        self._is_gone, self._cancel = is_gone, cancel
        self._token: int | None = None
        self._sequence = -1
        self._has_heard = self._is_over = self._is_closed = False
        self._waiting: list[Chunk] = []

    @property
    def duration_s(self) -> float:
        return self.samples / self.source_rate if self.source_rate else 0.0

    def begin(self, *, timeout_s: float) -> Job | None:
        """Wait for the first piece.  The job where it ended before, without one; else None.

        Raises DEADLINE_EXCEEDED when the time is up, and ClientGone.
        """
        ended = self._wait(timeout_s)
        if ended is None and not self._waiting:
            raise ServiceError(ErrorCode.DEADLINE_EXCEEDED, job_id=self.job.id)
        return ended

    def pieces(self, *, patience_s: float, every_s: float) -> Iterator[bytes]:
        """What is left, to the end.  An empty piece every `every_s` says that we still wait.

        Raises ServiceError when the audio ends before its end, and ClientGone.
        """
        while True:
            while self._waiting:
                chunk = self._waiting.pop(0)
                self._is_over = chunk.is_last
                yield chunk.data
            if self._is_over:
                return
            deadline = time.monotonic() + patience_s
            while not self._waiting:
                if (ended := self._wait(every_s)) is not None:
                    raise _why(ended)
                if not self._waiting:
                    if time.monotonic() > deadline:
                        raise ServiceError(ErrorCode.DEADLINE_EXCEEDED, job_id=self.job.id)
                    yield b""

    def close(self) -> None:
        """Nothing more is wanted; may be called again."""
        if not self._is_closed:
            self._is_closed = True
            if not self._is_over:
                self._cancel()

    def _wait(self, timeout_s: float) -> Job | None:
        """Until there is a piece, the job ended, or the time is up."""
        found = self._wait_room.wait(
            self.job.id, self._look, timeout_s=timeout_s, is_gone=self._is_gone, also=self.job.work_id
        )
        return found if isinstance(found, Job) else None

    def _look(self) -> Job | bool | None:
        if self._token is not None and self._take(self._token):
            return True
        job = self._stores.jobs.get(self.job.id)
        if job is None:
            raise ServiceError(ErrorCode.JOB_NOT_FOUND, job_id=self.job.id)
        self.job = job
        if job.status is JobStatus.DONE and not self._has_heard:
            self._is_over = True
            return job  # the whole audio is better than its pieces: it knows its length
        if job.token and job.token != self._token:
            self._follow(job)
        if self._token is not None and self._take(self._token):  # once more: it may have come and the job have ended
            return True
        if job.status.is_terminal:
            self._is_over = True
            return job
        return None

    def _follow(self, job: Job) -> None:
        """From now on this job's latest attempt is heard, from its beginning."""
        if self._has_heard and job.request.response_format not in _SAMPLES:
            raise ServiceError(ErrorCode.WORKER_LOST, job_id=job.id)
        self._token, self._sequence = job.token, -1

    def _take(self, token: int) -> bool:
        """New pieces of an attempt; what an earlier one gave already is passed over."""
        chunks = self._stores.chunks.read(self.job.work_id, token, after=self._sequence)
        for chunk in chunks:
            starts_at, ends_at = int(chunk.about["starts_at"]), int(chunk.about["ends_at"])
            follows = chunk.sequence == self._sequence + 1
            self._sequence += 1
            if follows and self._has_heard and ends_at <= self.samples and not chunk.is_last:
                continue
            if not follows or starts_at != self.samples:
                log.warning("stream_does_not_fit", job=self.job.id, sequence=chunk.sequence)
                raise ServiceError(ErrorCode.WORKER_LOST, job_id=self.job.id)
            self.samples, self.source_rate, self._has_heard = ends_at, int(chunk.about["rate"]), True
            self._waiting.append(chunk)
        return bool(self._waiting)


def _why(ended: Job) -> ServiceError:
    """Why a job that ended gave no last piece."""
    if ended.error is not None:
        return ServiceError(ended.error.code, ended.error.detail, job_id=ended.id)
    code = ErrorCode.CANCELLED if ended.status is JobStatus.CANCELLED else ErrorCode.SYNTHESIS_FAILED
    return ServiceError(code, job_id=ended.id)
