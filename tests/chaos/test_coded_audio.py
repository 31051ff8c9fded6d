"""Sound that says whose it is: through the product's own joining and encoding, and what is told of a wrong one."""

import io

import numpy as np
import pytest
import soundfile

from megatts3.api import SamplingParams, SynthesisRequest, Waveform, decode, encode, join
from scripts.chaos.coded_audio import SAMPLE_RATE, Coded, codes_in, samples_of
from scripts.chaos.coded_engine import CodedEngine, Pace
from scripts.chaos.coded_text import clip_of, expected, text_of


@pytest.fixture
def engine() -> CodedEngine:
    engine = CodedEngine(Pace(step_s=0.0005))
    engine.start()
    return engine


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_what_was_asked_for_is_heard_after_joining_and_encoding(engine, audio_format):
    voice = engine.prepare_voice(encode(Waveform(clip_of(7), SAMPLE_RATE), "wav"))
    request = SynthesisRequest("job", text_of(123_456, 5), voice, SamplingParams())

    spoken = encode(join([segment.waveform for segment in engine.submit(request)]), audio_format)

    assert codes_in(decode(spoken).samples) == expected(123_456, 5, 7)


def test_a_neighbours_part_or_voice_is_told_apart():
    mine, other = Coded(1000, 1, 2, 3), Coded(1000, 1, 2, 4)
    assert codes_in(np.concatenate([samples_of(mine), samples_of(other)])) == [mine, other]


def test_a_cut_or_damaged_code_is_an_error_and_not_another_code():
    whole = samples_of(Coded(1, 1, 1, 1))
    with pytest.raises(ValueError, match="cut off"):
        codes_in(whole[:6000])
    damaged = whole.copy()
    damaged[6000:6200] *= -1
    with pytest.raises(ValueError, match="cannot be read"):
        codes_in(damaged)


def test_the_clip_of_a_voice_survives_a_wav_file():
    buffer = io.BytesIO()
    soundfile.write(buffer, clip_of(5), SAMPLE_RATE, format="WAV")
    engine = CodedEngine(Pace())
    assert engine.prepare_voice(buffer.getvalue()).latent[0, 0] == 5
