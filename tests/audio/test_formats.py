"""Every readable form is read, every writable one is read back, and what is broken is refused by name."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.audio import libav
from megatts3.audio.formats import decode, encode, writable_formats
from megatts3.audio.waveform import Waveform
from megatts3.errors import AudioError, AudioUnreadable, UnsupportedFormat

RATE = 24_000


def tone(seconds=1.0, rate=RATE):
    t = np.arange(round(seconds * rate)) / rate
    return Waveform((0.4 * np.sin(2 * np.pi * 300 * t)).astype(np.float32), rate)


def level(waveform):
    """RMS of the middle half: codecs ring at the ends."""
    middle = waveform.samples[len(waveform.samples) // 4 : -len(waveform.samples) // 4]
    return np.sqrt(np.mean(middle**2))


def written(samples, rate, container, subtype):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("subtype", "error"),
    [("PCM_U8", 1e-2), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 0), ("DOUBLE", 1e-7),
     ("ULAW", 2e-2), ("ALAW", 2e-2)],
)  # fmt: skip
def test_every_kind_of_wav_is_read(subtype, error):
    source = tone()
    found = decode(written(source.samples, RATE, "WAV", subtype))

    assert found.sample_rate == RATE
    np.testing.assert_allclose(found.samples, source.samples, rtol=0, atol=error)


@pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_compressed_files_are_read(container, subtype):
    found = decode(written(tone().samples, RATE, container, subtype))

    assert found.duration_s == pytest.approx(1.0, abs=0.06)
    assert np.sqrt(np.mean(found.samples**2)) == pytest.approx(0.4 / 2**0.5, rel=0.1)


def test_channels_are_averaged():
    stereo = np.stack([np.full(4_800, 0.5), np.full(4_800, -0.1)], axis=1)

    np.testing.assert_allclose(decode(written(stereo, RATE, "WAV", "FLOAT")).samples, 0.2, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 20_001, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus", "flac"])
def test_what_is_written_can_be_read_back_at_any_rate(audio_format, rate):
    source = tone(0.7, rate)
    found = decode(encode(source, audio_format))

    assert found.duration_s == pytest.approx(0.7, abs=0.06)
    assert level(found) == pytest.approx(0.4 / 2**0.5, rel=0.1)
    if audio_format in ("wav", "flac"):
        assert found.sample_rate == rate
        np.testing.assert_allclose(found.samples, source.samples, atol=1e-4)


def test_raw_pcm_is_16_bit_little_endian_mono():
    assert encode(Waveform(np.array([0.0, 0.5, -1.0], np.float32), RATE), "pcm") == struct.pack("<3h", 0, 16383, -32767)


def test_an_unknown_output_form_is_refused_with_the_known_ones():
    with pytest.raises(UnsupportedFormat) as caught:
        encode(tone(), "wma")
    assert caught.value.supported == writable_formats()


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus", "flac", "ogg-vorbis"])
@pytest.mark.parametrize("share", [0.3, 0.66, 0.9])
def test_a_file_cut_short_is_refused(audio_format, share):
    source = tone(3.0)
    whole = (
        written(source.samples, RATE, "OGG", "VORBIS") if audio_format == "ogg-vorbis" else encode(source, audio_format)
    )
    with pytest.raises(AudioUnreadable):
        decode(whole[: int(len(whole) * share)])


def test_a_streamed_wav_of_unknown_size_is_read():
    whole = bytearray(encode(tone(), "wav"))
    at = whole.index(b"data") + 4
    whole[4:8] = whole[at : at + 4] = b"\xff\xff\xff\xff"

    assert decode(bytes(whole)).duration_s == pytest.approx(1.0)


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"not audio at all, only text" * 9, b"\x89PNG\r\n\x1a\n" + bytes(64), bytes(4_000), b"%PDF-1.7\n",
     b"ID3", b"RIFF\x00\x00\x00\x00WAVE", b"\xff\xfb" + bytes(300), b"OggS" + bytes(60), b"fLaC" + bytes(60)],
)  # fmt: skip
def test_bytes_that_are_no_audio_are_refused(data):
    with pytest.raises(AudioUnreadable):
        decode(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_values_that_are_no_sound_are_refused(bad):
    samples = tone().samples.copy()
    samples[100] = bad
    with pytest.raises(AudioUnreadable):
        decode(written(samples, RATE, "WAV", "FLOAT"))


def test_a_wav_without_samples_is_refused():
    with pytest.raises(AudioUnreadable):
        decode(written(np.zeros(0, np.float32), RATE, "WAV", "PCM_16"))


def test_an_absurdly_long_file_is_refused():
    with pytest.raises(AudioUnreadable, match="longer"):
        decode(written(np.zeros(601 * 4_000, np.int16), 4_000, "FLAC", "PCM_16"))


def test_m4a_and_aac_are_refused_by_name_where_pyav_is_not_installed(monkeypatch):
    monkeypatch.setattr(libav, "is_available", lambda: False)
    with pytest.raises(UnsupportedFormat, match="'aac' is not one of wav, mp3, opus, flac, pcm"):
        encode(tone(), "aac")
    with pytest.raises(UnsupportedFormat) as caught:
        decode(b"\x00\x00\x00\x20ftypM4A " + bytes(100))
    assert caught.value.audio_format == "m4a"


def test_aac_is_written_and_read_where_pyav_is_installed():
    found = decode(encode(tone(), "aac"))

    assert found.duration_s == pytest.approx(1.0, abs=0.15)
    assert level(found) == pytest.approx(0.4 / 2**0.5, rel=0.1)


def test_m4a_is_read_where_pyav_is_installed_and_refused_when_cut_short(tmp_path):
    import av

    path = tmp_path / "tone.m4a"
    with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(2.0).samples.reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    whole = path.read_bytes()
    assert decode(whole).duration_s == pytest.approx(2.0, abs=0.15)
    with pytest.raises(AudioUnreadable):
        decode(whole[: len(whole) // 2])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_end_in_sound_or_in_our_own_error(data):
    audio_format = data.draw(st.sampled_from(["wav", "mp3", "opus", "flac"]))
    broken = bytearray(encode(tone(0.2), audio_format))
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(broken))
    except AudioError:
        return
    assert np.isfinite(found.samples).all()
