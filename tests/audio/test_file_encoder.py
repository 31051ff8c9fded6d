"""A file written piece by piece is the file written at once."""

import io
import tempfile

import numpy as np
import pytest

from megatts3.audio.file_encoder import FileEncoder
from megatts3.audio.formats import decode, encode, writable_formats
from megatts3.audio.waveform import Waveform
from megatts3.errors import UnsupportedFormat

RATE = 24_000


def sound(seconds: float) -> Waveform:
    rng = np.random.default_rng(3)
    t = np.arange(int(RATE * seconds)) / RATE
    return Waveform(0.4 * np.sin(2 * np.pi * 330 * t) + 0.05 * rng.standard_normal(len(t)), RATE)


def written(whole: Waveform, audio_format: str, rate: int) -> bytes:
    with tempfile.TemporaryFile() as file:
        encoder = FileEncoder(file, audio_format, source_rate=RATE, sample_rate=rate)
        for part in np.array_split(whole.samples, 7):
            encoder.push(Waveform(part, RATE))
        encoder.finish()
        file.seek(0)
        return file.read()


@pytest.mark.parametrize("audio_format", [name for name in writable_formats() if name != "opus"])
def test_the_bytes_are_those_of_the_whole(audio_format):
    whole = sound(3.3)
    assert written(whole, audio_format, RATE) == encode(whole, audio_format)


def test_opus_differs_in_its_serial_number_at_most():
    whole = sound(3.3)
    pieces, at_once = (decode(data).samples for data in (written(whole, "opus", RATE), encode(whole, "opus")))
    assert len(pieces) == len(at_once)
    assert np.abs(pieces - at_once).max() < 1e-3


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_another_rate_is_the_same_sound(rate):
    whole = sound(2.0)
    pieces, at_once = (written(whole, "wav", rate), encode(Waveform(whole.samples, RATE), "wav"))
    heard = decode(pieces)
    assert heard.sample_rate == rate
    assert abs(heard.duration_s - decode(at_once).duration_s) < 0.001


def test_what_cannot_be_written_is_refused():
    with pytest.raises(UnsupportedFormat):
        FileEncoder(io.BytesIO(), "midi", source_rate=RATE, sample_rate=RATE)
