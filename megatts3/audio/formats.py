"""Bytes to Waveform and back.  Content is sniffed; what is not understood is refused, never guessed.

Read: wav, flac, mp3, ogg (vorbis, opus); with PyAV installed also m4a, aac and webm.
Written: wav (16 bit), mp3, opus, flac, pcm (s16le); with PyAV installed also aac.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile

from megatts3.audio import libav
from megatts3.audio.resample import resample
from megatts3.audio.sniff import Container, require_whole, sniff
from megatts3.audio.waveform import Waveform
from megatts3.errors import AudioUnreadable, UnsupportedFormat

MAX_DECODED_S = 600.0  # a reference is cut at 28 s; beyond this a file is a mistake or an attack
MIN_RATE, MAX_RATE = 4_000, 384_000
MAX_CHANNELS = 16
MAX_LEVEL = 64.0  # a float file this far above full scale was never audio
READABLE = ("wav", "flac", "mp3", "ogg")
READABLE_WITH_LIBAV = ("m4a", "aac", "webm")

_MPEG_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_RATES = {"mp3": _MPEG_RATES, "aac": _MPEG_RATES, "opus": (8_000, 12_000, 16_000, 24_000, 48_000)}
_BLOCK_FRAMES = 1 << 18


def readable_formats() -> tuple[str, ...]:
    return READABLE + (READABLE_WITH_LIBAV if libav.is_available() else ())


def writable_formats() -> tuple[str, ...]:
    return ("wav", "mp3", "opus", "flac", "pcm", *(("aac",) if libav.is_available() else ()))


def decode(data: bytes) -> Waveform:
    """Mono, float32, at the file's own rate.

    Raises UnsupportedFormat for a container that cannot be read here, AudioUnreadable for what is
    damaged, cut short, empty, absurdly long, or holds NaN.
    """
    container = sniff(data)
    if container is None:
        raise AudioUnreadable("the bytes are no audio file that is known here" if data else "no bytes")
    if container not in readable_formats():
        raise UnsupportedFormat(container, readable_formats())
    require_whole(data, container)
    if container in READABLE_WITH_LIBAV:
        return _checked(libav.decode(data, max_duration_s=MAX_DECODED_S))
    return _checked(_decode_with_sndfile(data, container))


def encode(waveform: Waveform, audio_format: str) -> bytes:
    """One whole file, at `rate_written`."""
    if audio_format not in writable_formats():
        raise UnsupportedFormat(audio_format, writable_formats())
    waveform = resample(waveform, rate_written(audio_format, waveform.sample_rate))
    if audio_format == "pcm":
        return waveform.pcm16().astype("<i2").tobytes()
    if audio_format == "aac":
        return libav.encode_aac(waveform)
    if audio_format in ("wav", "flac"):
        container = audio_format.upper()
        return _written(waveform.pcm16(), waveform.sample_rate, container, "PCM_16")
    if audio_format == "mp3":
        return _written(_clipped(waveform), waveform.sample_rate, "MP3", "MPEG_LAYER_III")
    return _written(_clipped(waveform), waveform.sample_rate, "OGG", "OPUS")


def rate_written(audio_format: str, sample_rate: int) -> int:
    """Samples per second of the file: mp3, aac and opus know few rates, and take the next higher one they know."""
    known = _RATES.get(audio_format, (sample_rate,))
    return next((rate for rate in known if rate >= sample_rate), known[-1])


def _clipped(waveform: Waveform) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    clipped: np.ndarray[tuple[int], np.dtype[np.float32]] = np.clip(waveform.samples, -1.0, 1.0).astype(np.float32)
    return clipped


def _written(samples: np.ndarray[tuple[int], np.dtype[np.generic]], rate: int, container: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def _decode_with_sndfile(data: bytes, container: Container) -> Waveform:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, channels, promised = file.samplerate, file.channels, file.frames
            if not (MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= MAX_CHANNELS):
                raise AudioUnreadable(f"{channels} channels at {rate} Hz")
            limit = int(MAX_DECODED_S * rate)
            pieces: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
            frames = 0
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                frames += len(block)
                if frames > limit:
                    raise AudioUnreadable(f"it is longer than {MAX_DECODED_S:.0f} s")
                pieces.append(block.mean(axis=1, dtype=np.float32))
    except soundfile.LibsndfileError as error:
        raise AudioUnreadable(f"damaged or cut short ({container})") from error
    if container == "mp3" and frames < promised * 0.98:
        raise AudioUnreadable(f"the file is cut short: {frames} of {promised} samples")
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return Waveform(samples, rate)


def _checked(waveform: Waveform) -> Waveform:
    if len(waveform.samples) == 0:
        raise AudioUnreadable("it holds no sound")
    if not np.isfinite(waveform.samples).all():
        raise AudioUnreadable("it holds values that are not finite numbers")
    if waveform.peak > MAX_LEVEL:
        raise AudioUnreadable(f"it is {waveform.peak:.0f} times above full scale")
    return waveform
