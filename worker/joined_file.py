"""Segments → one encoded answer in a file without a name: joined and encoded one after another, never held whole."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import numpy as np

from contract.errors import ErrorCode, ServiceError
from contract.schemas import SpeechRequest
from megatts3.audio.file_encoder import FileEncoder
from megatts3.audio.join import Joiner
from megatts3.audio.waveform import Waveform
from worker.scratch import Scratch, ScratchFile


class JoinedFile:
    """Used by one thread at a time."""

    def __init__(self, request: SpeechRequest, *, scratch: Scratch) -> None:
        self._request, self._scratch = request, scratch
        self._file: ScratchFile | None = None
        self._joiner: Joiner | None = None
        self._encoder: FileEncoder | None = None
        self._samples = 0
        self.spent_s = {"join": 0.0, "encode": 0.0}

    def push(self, segment: Waveform) -> None:
        """The next segment.  ServiceError(SYNTHESIS_FAILED) for sound that is none, STORAGE_FULL."""
        if len(segment.samples) == 0 or not np.isfinite(segment.samples).all():
            raise ServiceError(ErrorCode.SYNTHESIS_FAILED, "the engine gave audio that cannot be used")
        if self._joiner is None:
            self._joiner = Joiner(segment.sample_rate)
        with self._timed("join"):
            joined = self._joiner.push(segment)
        self._encode(joined)

    def finish_joining(self) -> Waveform:
        """What was held back, for `finish`.  SYNTHESIS_FAILED when there was nothing at all."""
        if self._joiner is None:
            raise ServiceError(ErrorCode.SYNTHESIS_FAILED, "the engine gave no audio")
        return self._joiner.finish()

    def finish(self, rest: Waveform) -> BinaryIO:
        """The whole file, open.  STORAGE_FULL."""
        self._encode(rest)
        assert self._encoder is not None
        assert self._file is not None
        try:
            self._encoder.finish()
        finally:
            self._file.check()
        return cast("BinaryIO", self._file)

    def close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def duration_s(self) -> float:
        return self._samples / self._joiner.sample_rate if self._joiner is not None else 0.0

    @property
    def sample_rate(self) -> int:
        assert self._encoder is not None
        return self._encoder.sample_rate

    def _encode(self, joined: Waveform) -> None:
        if self._encoder is None or self._file is None:
            self._file = self._scratch.open()
            wanted = self._request
            self._encoder = FileEncoder(
                cast("BinaryIO", self._file),
                wanted.response_format.value,
                source_rate=joined.sample_rate,
                sample_rate=wanted.sample_rate,
            )
        self._samples += len(joined.samples)
        try:
            with self._timed("encode"):
                self._encoder.push(joined)
        finally:
            self._file.check()  # a full disk explains what else was raised

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.spent_s[stage] += time.perf_counter() - began_s
