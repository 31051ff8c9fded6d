"""What is encoded piece by piece is heard as what is encoded whole, and every piece is out before the next comes in."""

import io

import numpy as np
import pytest
import soundfile

from megatts3.audio import libav
from megatts3.audio.formats import rate_written
from megatts3.audio.resample import resample
from megatts3.audio.streaming import StreamEncoder, streamable_formats, wav_header
from megatts3.audio.waveform import Waveform
from megatts3.errors import UnsupportedFormat

RATE = 24_000
SECOND = 24_000
# Sound a decoder gives before the first sample that was put in: LAME's 1105 samples, AAC's 1024 and a frame.
MOST_DELAY = {"mp3": 1105 + 529, "aac": 2 * 1024}


def voice_like(seconds=4.0):
    t = np.arange(round(seconds * RATE)) / RATE
    swell = 1 + 0.5 * np.sin(2 * np.pi * 3 * t)
    return Waveform((0.2 * np.sin(2 * np.pi * (200 + 40 * t) * t) * swell).astype(np.float32), RATE)


def pieces(waveform, length=SECOND):
    for start in range(0, len(waveform.samples), length):
        yield Waveform(waveform.samples[start : start + length], waveform.sample_rate)


def streamed(waveform, audio_format, *, sample_rate=RATE, length=SECOND):
    encoder = StreamEncoder(audio_format, source_rate=waveform.sample_rate, sample_rate=sample_rate)
    return [encoder.push(piece) for piece in pieces(waveform, length)] + [encoder.finish()]


def heard(data, audio_format, rate):
    """By a decoder that reads to the end, whatever a header says."""
    if audio_format == "pcm":
        return np.frombuffer(data, "<i2") / 32768
    if audio_format == "aac":
        return libav.decode(data, max_duration_s=60).samples
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert file.samplerate == rate
        blocks = []
        while len(block := file.read(4096, dtype="float64")):
            blocks.append(block)
    return np.concatenate(blocks)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("audio_format", streamable_formats())
def test_a_stream_is_heard_as_the_sound_that_went_in(audio_format, sample_rate):
    source = voice_like()
    rate = rate_written(audio_format, sample_rate)
    wanted = resample(source, rate).samples

    found = heard(b"".join(streamed(source, audio_format, sample_rate=sample_rate)), audio_format, rate)

    assert 0 <= len(found) - len(wanted) + 1 <= 2 * 1152 + MOST_DELAY.get(audio_format, 0) + 1
    longest = MOST_DELAY.get(audio_format, 0)
    fit = np.correlate(found[: rate + longest], wanted[:rate], "valid")
    delay = int(np.argmax(fit))
    found = found[delay : delay + len(wanted)]
    loss = np.sqrt(np.mean((found - wanted[: len(found)]) ** 2)) / np.sqrt(np.mean(wanted**2))
    assert len(found) >= len(wanted) - 1
    assert loss < (1e-3 if audio_format in ("wav", "pcm") else 0.15)


@pytest.mark.parametrize("audio_format", streamable_formats())
def test_every_piece_comes_out_before_the_next_goes_in(audio_format):
    parts = streamed(voice_like(), audio_format)

    assert all(len(part) > 0 for part in parts[:-1])
    sizes = [len(part) for part in parts[1:-1]]
    assert max(sizes) < 1.5 * min(sizes), "a second of sound is a second's worth of bytes"


@pytest.mark.parametrize("audio_format", ["wav", "pcm"])
def test_how_it_is_cut_changes_nothing(audio_format):
    one = heard(b"".join(streamed(voice_like(), audio_format, sample_rate=22_050)), audio_format, 22_050)
    other = heard(b"".join(streamed(voice_like(), audio_format, sample_rate=22_050, length=999)), audio_format, 22_050)

    np.testing.assert_allclose(one, other, atol=1.5 / 32768)


def test_a_streamed_mp3_begins_with_sound_and_not_with_the_place_of_a_header():
    first = streamed(voice_like(), "mp3")[0]

    assert first[:2] == b"\xff\xf3"
    assert any(first[4:36])


def test_an_empty_push_gives_the_header_at_most():
    encoder = StreamEncoder("wav", source_rate=RATE, sample_rate=16_000)

    assert encoder.push(Waveform(np.zeros(0, np.float32), RATE)) == wav_header(16_000)
    assert encoder.finish() == b""


def test_another_rate_or_format_is_refused():
    for name in ("midi", "flac"):
        with pytest.raises(UnsupportedFormat):
            StreamEncoder(name, source_rate=RATE, sample_rate=RATE)
    with pytest.raises(ValueError, match="cannot take"):
        StreamEncoder("pcm", source_rate=RATE, sample_rate=RATE).push(Waveform(np.zeros(4, np.float32), 8_000))
