"""A job's audio on its way to the client while it is spoken: segments in, encoded chunks out.

Chunks are written once somebody wants them (contract.stores.interfaces.ChunkStream), those of what was finished
before included, which waits in waiting_sound.py.  Not here: the whole audio, which is stored and cached as if nobody
had listened.
"""

import numpy as np

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job
from contract.stores.interfaces import Chunk, ChunkStream
from contract.telemetry import event_log
from megatts3.audio.join import Joiner
from megatts3.audio.streaming import StreamEncoder
from megatts3.audio.waveform import Waveform
from worker.scratch import Scratch
from worker.waiting_sound import WaitingSound

log = event_log(__name__)


class OutgoingAudio:
    """One attempt at one job.  Used by the thread that collects its segments."""

    def __init__(self, chunks: ChunkStream, job: Job, token: int, *, scratch: Scratch) -> None:
        self._chunks, self._job, self._token = chunks, job, token
        self._joiner: Joiner | None = None  # with the encoder: from when somebody wants the audio
        self._encoder: StreamEncoder | None = None
        self._waiting = WaitingSound(scratch)  # segments that are in no chunk yet
        self._samples = 0  # of joined sound in the chunks so far
        self._sequence = 0
        self._is_open = job.request.response_format.is_streamable

    def push(self, segment: Waveform, *, more: bool = True) -> None:
        """The next segment of the text.  more False: `finish` comes next, and sends it.

        Raises SYNTHESIS_FAILED for sound that is none.
        """
        if not np.isfinite(segment.samples).all():
            raise ServiceError(ErrorCode.SYNTHESIS_FAILED, "the engine gave audio that cannot be used")
        if self._is_open:
            self._waiting.push(segment)
            if more:
                self._send(is_last=False)

    def finish(self) -> None:
        """After the last segment."""
        if self._is_open:
            self._send(is_last=True)

    def close(self) -> None:
        """Whether it was finished or not."""
        self._is_open = False
        self._waiting.clear()

    def _send(self, *, is_last: bool) -> None:
        """Write what waits as one chunk.  A store that is away ends the stream; the job itself goes on."""
        try:
            if self._encoder is not None or self._chunks.is_wanted(self._job.work_id):
                self._append(is_last=is_last)
        except ServiceError as error:
            log.warning("stream_ended_early", job=self._job.id, code=error.code)
            self.close()

    def _append(self, *, is_last: bool) -> None:
        """A chunk for each segment, however many wait: who comes late to a book asks for hours of it."""
        if is_last and not self._waiting:
            self._write(None, is_last=True)
        while self._waiting:
            segment = self._waiting.pop()
            self._write(segment, is_last=is_last and not self._waiting)

    def _write(self, segment: Waveform | None, *, is_last: bool) -> None:
        if self._encoder is None or self._joiner is None:
            if segment is None:
                return  # there was nothing to say
            rate = segment.sample_rate
            self._joiner, self._encoder = Joiner(rate), self._new_encoder(rate)
        joined = [] if segment is None else [self._joiner.push(segment)]
        if is_last:
            joined.append(self._joiner.finish())
        data = b"".join(self._encoder.push(waveform) for waveform in joined)
        if is_last:
            data += self._encoder.finish()
        starts_at = self._samples
        self._samples += sum(len(waveform.samples) for waveform in joined)
        about = {"starts_at": str(starts_at), "ends_at": str(self._samples), "rate": str(self._joiner.sample_rate)}
        chunk = Chunk(self._sequence, data, is_last=is_last, about=about)
        self._chunks.append(self._job.work_id, self._token, chunk)
        self._sequence += 1

    def _new_encoder(self, source_rate: int) -> StreamEncoder:
        request = self._job.request
        return StreamEncoder(request.response_format.value, source_rate=source_rate, sample_rate=request.sample_rate)
