"""m4a, aac and webm by way of PyAV, which is optional and imported when first needed."""

from __future__ import annotations

import importlib.util
import io

import numpy as np

from megatts3.audio.resample import resample
from megatts3.audio.waveform import Waveform
from megatts3.errors import AudioUnreadable

_AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def is_available() -> bool:
    return importlib.util.find_spec("av") is not None


def decode(data: bytes, *, max_duration_s: float) -> Waveform:
    """Mono float32 at the file's own rate; AudioUnreadable where libav finds no sound in it."""
    import av  # noqa: PLC0415  (optional)

    pieces: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    frames = 0
    try:
        with av.open(io.BytesIO(data)) as container:
            if not container.streams.audio:
                raise AudioUnreadable("the file holds no sound track")
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            promised_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
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


def encode_aac(waveform: Waveform) -> bytes:
    """AAC in ADTS frames, which needs no header and streams."""
    import av  # noqa: PLC0415  (optional)

    rate = next((r for r in _AAC_RATES if r >= waveform.sample_rate), _AAC_RATES[-1])
    samples = resample(waveform, rate).samples.astype(np.float32)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()
