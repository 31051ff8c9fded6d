"""Finished segments that nobody has asked to hear yet, in order: the first of them in memory, a book's in a file."""

from collections import deque

import numpy as np

from megatts3.audio.waveform import Waveform
from worker.scratch import Scratch, ScratchFile

IN_MEMORY_BYTES = 8 * 2**20  # 87 s at 24 kHz: most texts never see the disk
_SAMPLE = np.dtype(np.float32)


class WaitingSound:
    """Used by one thread at a time."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._in_memory: deque[Waveform] = deque()
        self._memory_bytes = 0
        self._in_file: deque[tuple[int, int]] = deque()  # samples and rate of each; they came after those in memory
        self._file: ScratchFile | None = None
        self._read_to = 0

    def __bool__(self) -> bool:
        return bool(self._in_memory or self._in_file)

    def push(self, segment: Waveform) -> None:
        """ServiceError(STORAGE_FULL)."""
        samples = np.ascontiguousarray(segment.samples, _SAMPLE)
        if not self._in_file and self._memory_bytes + samples.nbytes <= IN_MEMORY_BYTES:
            self._in_memory.append(segment)
            self._memory_bytes += samples.nbytes
            return
        if self._file is None:
            self._file = self._scratch.open()
        self._file.write(samples.data)
        self._file.check()
        self._in_file.append((len(samples), segment.sample_rate))

    def pop(self) -> Waveform:
        """The one that came first."""
        if self._in_memory:
            segment = self._in_memory.popleft()
            self._memory_bytes -= len(segment.samples) * _SAMPLE.itemsize
            return segment
        assert self._file is not None
        count, rate = self._in_file.popleft()
        end = self._file.tell()
        self._file.seek(self._read_to)
        data = self._file.read(count * _SAMPLE.itemsize)
        self._read_to = self._file.tell()
        self._file.seek(end)
        if not self._in_file:
            self.clear()
        return Waveform(np.frombuffer(data, _SAMPLE), rate)

    def clear(self) -> None:
        """Nobody will want them."""
        self._in_memory.clear()
        self._in_file.clear()
        self._memory_bytes = self._read_to = 0
        if self._file is not None:
            self._file.close()
            self._file = None
