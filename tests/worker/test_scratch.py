"""A full disk under a file that grows: waited for, then told; never a shorter file that looks whole."""

import errno
import tempfile
import threading

import numpy as np
import pytest

from contract.errors import ErrorCode, ServiceError
from contract.schemas import AudioFormat, SpeechRequest
from megatts3.audio.formats import decode
from megatts3.audio.waveform import Waveform
from worker import scratch, waiting_sound
from worker.joined_file import JoinedFile
from worker.scratch import Scratch
from worker.waiting_sound import WaitingSound

RATE = 24_000
ROOM = 3000  # bytes


class Disk:
    """Where files find so much room, together, until there is more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.was_full = threading.Event()
        self._make = tempfile.TemporaryFile

    def open(self, **how):
        return FileOn(self, self._make(**how))


class FileOn:
    def __init__(self, disk: Disk, file) -> None:
        self._disk, self._file = disk, file

    def write(self, data) -> int:
        if self._disk.room == 0:
            self._disk.was_full.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._file.write(data[: self._disk.room])
        self._disk.room -= written
        return written

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def disk(monkeypatch) -> Disk:
    made = Disk(ROOM)
    monkeypatch.setattr(tempfile, "TemporaryFile", made.open)
    monkeypatch.setattr(scratch, "TRY_AGAIN_S", 0.005)
    return made


def noise(seconds: float, seed: int) -> Waveform:
    rng = np.random.default_rng(seed)
    return Waveform((0.3 * rng.standard_normal(int(seconds * RATE))).astype(np.float32), RATE)


def joined(audio_format: AudioFormat, patience_s: float) -> bytes:
    request = SpeechRequest(text="x", voice_id="anna", response_format=audio_format)
    file = JoinedFile(request, scratch=Scratch(patience_s=patience_s))
    try:
        for seed in range(6):
            file.push(noise(0.5, seed))
        whole = file.finish(file.finish_joining())
        whole.seek(0)
        return whole.read()
    finally:
        file.close()


@pytest.mark.parametrize("audio_format", AudioFormat)
def test_a_disk_that_stays_full_fails_the_file(disk, audio_format):
    with pytest.raises(ServiceError) as refused:
        joined(audio_format, patience_s=0.0)

    assert refused.value.code is ErrorCode.STORAGE_FULL
    assert disk.was_full.is_set()


@pytest.mark.parametrize("audio_format", AudioFormat)
def test_a_disk_that_has_room_again_costs_nothing_but_time(disk, audio_format):
    made: list[bytes] = []
    maker = threading.Thread(target=lambda: made.append(joined(audio_format, patience_s=30.0)))
    maker.start()
    assert disk.was_full.wait(10)
    disk.room = 10**9
    maker.join(20)

    unhindered = joined(audio_format, patience_s=0.0)
    if audio_format is AudioFormat.OPUS:  # Ogg draws a serial number
        assert [decode(data).duration_s for data in made] == [decode(unhindered).duration_s]
    else:
        assert made == [unhindered]


def test_what_waits_comes_in_order_and_unchanged_from_memory_and_file(monkeypatch):
    segments = [noise(0.02, seed) for seed in range(9)]
    monkeypatch.setattr(waiting_sound, "IN_MEMORY_BYTES", 3 * segments[0].samples.nbytes)
    waiting = WaitingSound(Scratch())

    came = []
    for n, segment in enumerate(segments):
        waiting.push(segment)
        if n == 5:  # from memory and file, and then more into the file
            came += [waiting.pop() for _ in range(4)]
    while waiting:
        came.append(waiting.pop())
    waiting.push(segments[0])

    assert [each.samples.tobytes() for each in came] == [each.samples.tobytes() for each in segments]
    assert waiting.pop().samples.tobytes() == segments[0].samples.tobytes()
    assert not waiting


def test_sound_that_no_disk_has_room_for_cannot_wait(disk, monkeypatch):
    monkeypatch.setattr(waiting_sound, "IN_MEMORY_BYTES", 0)
    waiting = WaitingSound(Scratch(patience_s=0.0))
    waiting.push(noise(0.02, 1))

    with pytest.raises(ServiceError) as refused:
        waiting.push(noise(0.02, 2))

    assert refused.value.code is ErrorCode.STORAGE_FULL
