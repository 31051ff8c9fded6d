"""Encode a waveform while it is being made: bytes as soon as they are final, one continuous stream.

A stream differs from a file of formats.py in what only its end can tell: WAV names no length, MP3 has no first frame
with the number of frames, and runs at one bit rate so that players can work out where they are.  FLAC is left out:
without its length libsndfile's readers refuse it, and whoever wants every sample soon can have WAV.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile
import soxr

from megatts3.audio import libav
from megatts3.audio.formats import rate_written, writable_formats
from megatts3.audio.waveform import Waveform
from megatts3.errors import UnsupportedFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNKNOWN = 0xFFFF_FFFF  # a length in a WAV header that is not known yet, as other services write it
_SOUNDFILE = {
    "mp3": ("MP3", "MPEG_LAYER_III", {"compression_level": 0.5, "bitrate_mode": "CONSTANT"}),
    "opus": ("OGG", "OPUS", {}),
}


def streamable_formats() -> tuple[str, ...]:
    return tuple(name for name in writable_formats() if name != "flac")


class _Encoding(Protocol):
    """One format's encoder: samples (L,) float in, whatever bytes are final out."""

    def push(self, samples: NDArray[np.float32]) -> bytes: ...

    def finish(self) -> bytes: ...


class StreamEncoder:
    """Waveforms of one rate in, the bytes of one stream out.

    source_rate, sample_rate: samples per second of what comes in, and as wished; see `rate_written`
    Raises UnsupportedFormat.
    """

    def __init__(self, audio_format: str, *, source_rate: int, sample_rate: int) -> None:
        if audio_format not in streamable_formats():
            raise UnsupportedFormat(audio_format, streamable_formats())
        self.sample_rate = rate_written(audio_format, sample_rate)
        self._source_rate = source_rate
        self._resampler: soxr.ResampleStream | None = None
        if source_rate != self.sample_rate:
            self._resampler = soxr.ResampleStream(source_rate, self.sample_rate, 1, dtype="float64", quality="HQ")
        self._encoding = _encoding(audio_format, self.sample_rate)

    def push(self, waveform: Waveform) -> bytes:
        """Add sound; returns the bytes that are final now (perhaps none)."""
        if waveform.sample_rate != self._source_rate:
            raise ValueError(f"a stream of {self._source_rate} Hz cannot take {waveform.sample_rate} Hz")
        return self._encode(self._resampled(waveform.samples, is_last=False))

    def finish(self) -> bytes:
        """The rest."""
        rest = self._resampled(np.zeros(0), is_last=True) if self._resampler is not None else np.zeros(0)
        return self._encode(rest) + self._encoding.finish()

    def _resampled(self, samples: NDArray[np.floating], *, is_last: bool) -> NDArray[np.floating]:
        if self._resampler is None:
            return samples
        converted: NDArray[np.float64] = self._resampler.resample_chunk(samples.astype(np.float64), last=is_last)
        return converted

    def _encode(self, samples: NDArray[np.floating]) -> bytes:
        return self._encoding.push(samples)


def _encoding(audio_format: str, sample_rate: int) -> _Encoding:
    if audio_format in ("wav", "pcm"):
        return _Pcm(sample_rate, with_header=audio_format == "wav")
    if audio_format == "aac":
        return libav.AacStream(sample_rate)
    return _SoundFileStream(audio_format, sample_rate)


class _Pcm:
    """s16le, in a WAV file of unknown length or bare."""

    def __init__(self, sample_rate: int, *, with_header: bool) -> None:
        self._rate = sample_rate
        self._header = wav_header(sample_rate) if with_header else b""

    def push(self, samples: NDArray[np.floating]) -> bytes:
        header, self._header = self._header, b""
        return header + Waveform(samples, self._rate).pcm16().astype("<i2").tobytes()

    def finish(self) -> bytes:
        return b""


def wav_header(sample_rate: int) -> bytes:
    """44 bytes before mono 16-bit samples of which nobody knows yet how many there will be."""
    layout = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVEfmt " + layout + b"data" + struct.pack("<I", _UNKNOWN)


class _SoundFileStream:
    """libsndfile writing into a file that only grows."""

    def __init__(self, audio_format: str, sample_rate: int) -> None:
        container, subtype, options = _SOUNDFILE[audio_format]
        self._sink = _Sink(skips_first=audio_format == "mp3")
        self._file = soundfile.SoundFile(self._sink, "w", sample_rate, 1, subtype, format=container, **options)

    def push(self, samples: NDArray[np.floating]) -> bytes:
        if len(samples):
            self._file.write(np.clip(samples, -1.0, 1.0).astype(np.float32))
            self._file.flush()
        return self._sink.taken()

    def finish(self) -> bytes:
        self._file.close()
        return self._sink.taken()


class _Sink:
    """What libsndfile takes for a file.  Bytes handed out are gone: a header corrected at the end is dropped.

    skips_first: LAME's first frame is an empty place for such a header, and would be heard as silence.
    """

    def __init__(self, *, skips_first: bool) -> None:
        self._skips = skips_first
        self._new = bytearray()
        self._size = self._position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = (0, self._position, self._size)[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: bytes) -> int:
        if self._position == self._size:
            if not self._skips:
                self._new += data
            self._skips = False
            self._size += len(data)
        self._position += len(data)
        return len(data)

    def read(self, _size: int = -1) -> bytes:
        return b""

    def flush(self) -> None:
        """Nothing is held back here."""

    def taken(self) -> bytes:
        taken, self._new = bytes(self._new), bytearray()
        return taken
