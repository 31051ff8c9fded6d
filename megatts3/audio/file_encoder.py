"""Write a waveform into a file while it is being made: what formats.py makes of a whole one, without holding it.

A rate is changed as it goes along, so that samples may differ from the whole's by the last bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile
import soxr

from megatts3.audio import libav
from megatts3.audio.formats import rate_written, writable_formats
from megatts3.audio.waveform import Waveform
from megatts3.errors import UnsupportedFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
}


class FileEncoder:
    """Waveforms of one rate in, one whole file out.

    file: open for reading and writing, empty; it stays open
    source_rate, sample_rate: samples per second of what comes in, and as wished; see `rate_written`
    Raises UnsupportedFormat.
    """

    def __init__(self, file: BinaryIO, audio_format: str, *, source_rate: int, sample_rate: int) -> None:
        if audio_format not in writable_formats():
            raise UnsupportedFormat(audio_format, writable_formats())
        self.sample_rate = rate_written(audio_format, sample_rate)
        self._file, self._source_rate = file, source_rate
        self._resampler: soxr.ResampleStream | None = None
        if source_rate != self.sample_rate:
            self._resampler = soxr.ResampleStream(source_rate, self.sample_rate, 1, dtype="float64", quality="HQ")
        self._is_integer = audio_format in ("wav", "flac", "pcm")
        self._aac = libav.AacStream(self.sample_rate) if audio_format == "aac" else None
        self._sound: soundfile.SoundFile | None = None
        if audio_format in _SOUNDFILE:
            container, subtype = _SOUNDFILE[audio_format]
            self._sound = soundfile.SoundFile(file, "w", self.sample_rate, 1, subtype, format=container)

    def push(self, waveform: Waveform) -> None:
        """Add sound."""
        if waveform.sample_rate != self._source_rate:
            raise ValueError(f"a file of {self._source_rate} Hz cannot take {waveform.sample_rate} Hz")
        self._write(self._resampled(waveform.samples, is_last=False))

    def finish(self) -> None:
        """The rest; the file is whole."""
        if self._resampler is not None:
            self._write(self._resampled(np.zeros(0), is_last=True))
        self.close()
        if self._aac is not None:
            self._file.write(self._aac.finish())

    def close(self) -> None:
        """Before the file is closed, finished or not."""
        if self._sound is not None:
            self._sound.close()

    def _resampled(self, samples: NDArray[np.floating], *, is_last: bool) -> NDArray[np.floating]:
        if self._resampler is None:
            return samples
        converted: NDArray[np.float64] = self._resampler.resample_chunk(samples.astype(np.float64), last=is_last)
        return converted

    def _write(self, samples: NDArray[np.floating]) -> None:
        if len(samples) == 0:
            return
        if self._aac is not None:
            self._file.write(self._aac.push(samples))
        elif self._is_integer:
            pcm = Waveform(samples, self.sample_rate).pcm16()
            if self._sound is None:
                self._file.write(pcm.astype("<i2").tobytes())
            else:
                self._sound.write(pcm)
        else:
            assert self._sound is not None
            self._sound.write(np.clip(samples, -1.0, 1.0).astype(np.float32))
