"""m4a, aac and webm by way of PyAV, which is optional and imported when first needed."""

from __future__ import annotations

import functools
import importlib.util
import io
from typing import TYPE_CHECKING

import numpy as np

from megatts3.audio.waveform import Waveform
from megatts3.errors import AudioUnreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray


@functools.cache
def is_available() -> bool:
    return importlib.util.find_spec("av") is not None


def decode(data: bytes, *, max_duration_s: float) -> Waveform:
    """Mono float32 at the file's own rate; AudioUnreadable where libav finds no sound in it."""
    import av  # noqa: PLC0415  (optional)

    pieces: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    frames = 0
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if not container.streams.audio:
                raise AudioUnreadable("the file holds no sound track")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            promised_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            if container.format.name == "aac":  # bare frames promise nothing: libav guesses from the first ones' size
                promised_s = 0.0
            mixer = av.AudioResampler(format="flt", layout="mono", rate=rate)
            for frame in container.decode(stream):
                for mono in mixer.resample(frame):
                    pieces.append(mono.to_ndarray().reshape(-1).astype(np.float32))
                    frames += len(pieces[-1])
                if frames > max_duration_s * rate:
                    raise AudioUnreadable(f"it is longer than {max_duration_s:.0f} s")
    except av.FFmpegError as error:
        raise AudioUnreadable("damaged or cut short") from error
    if frames < promised_s * rate * 0.98:
        raise AudioUnreadable(f"the file is cut short: {frames / rate:.2f} of {promised_s:.2f} s")
    return Waveform(np.concatenate(pieces) if pieces else np.zeros(0, np.float32), rate)


class AacStream:
    """AAC in ADTS frames, which needs no header: samples in, whatever bytes are final out.

    sample_rate: one that AAC knows, see formats.rate_written
    """

    def __init__(self, sample_rate: int) -> None:
        import av  # noqa: PLC0415  (optional)

        self._rate = sample_rate
        self._buffer = _Growing()
        self._container = av.open(self._buffer, "w", format="adts")
        self._stream = self._container.add_stream("aac", rate=sample_rate, layout="mono")

    def push(self, samples: NDArray[np.floating]) -> bytes:
        import av  # noqa: PLC0415  (optional)

        if len(samples):
            plane = np.ascontiguousarray(np.clip(samples, -1.0, 1.0), dtype=np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(plane, format="fltp", layout="mono")
            frame.sample_rate = self._rate
            self._container.mux(self._stream.encode(frame))
        return self._buffer.taken()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._buffer.taken()


class _Growing:
    """A file libav can only add to."""

    def __init__(self) -> None:
        self._new = bytearray()

    def write(self, data: bytes) -> int:
        self._new += data
        return len(data)

    def taken(self) -> bytes:
        taken, self._new = bytes(self._new), bytearray()
        return taken


def encode_aac(waveform: Waveform) -> bytes:
    """One whole file, at the waveform's rate, which AAC must know."""
    stream = AacStream(waveform.sample_rate)
    return stream.push(waveform.samples) + stream.finish()
