"""Rows that finish together are decoded together; what is wrong with one stays with it."""

import numpy as np
import pytest
import torch

from megatts3.audio.waveform import Waveform
from megatts3.engine.engine import Engine
from megatts3.engine.forwards import PaddedForward
from megatts3.engine.request import SynthesisRequest
from megatts3.engine.runner import Runner
from megatts3.errors import RowFailed, UnusableSound
from megatts3.pipeline.synthesize import speak_segments
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams
from tests.engine.prepared_rows import prepare

PARAMS = SamplingParams(steps=2)
TEXTS = ("a.", "hello there, how are you.", "one two three.")


@pytest.fixture
def rows(tiny, frontend, voice):
    asked = [(text, voice, PARAMS) for text in TEXTS]
    return Runner(tiny, PaddedForward(tiny.dit)), prepare(tiny, frontend, asked)


@pytest.mark.parametrize("kind", ["tiny", "tiny_light"])
def test_rows_that_end_together_sound_as_the_reference_path_says(request, frontend, recording, kind):
    networks = request.getfixturevalue(kind)
    voice = prepare_voice(networks, recording())
    engine = Engine(networks, frontend)
    submissions = [engine.submit(SynthesisRequest(text, text, voice, PARAMS)) for text in TEXTS]
    while not all(submission.is_over for submission in submissions):
        engine.step()

    for text, submission in zip(TEXTS, submissions, strict=True):
        (found,) = submission
        (expected,) = speak_segments(networks, frontend, text, voice, PARAMS)
        off = np.abs(found.waveform.pcm16().astype(int) - expected.pcm16())
        if kind == "tiny":
            assert off.max() <= 2
        else:  # rounding differences add up in the phase of a random network's sharp pulses
            assert off.mean() <= 0.01 * np.abs(expected.pcm16().astype(int)).mean()


def test_a_row_without_sound_fails_alone(rows):
    runner, (first, sick, last) = rows
    sick.payload.x = torch.full_like(sick.payload.x, float("nan"))
    found = runner.decode([first, sick, last])

    assert isinstance(found[sick], UnusableSound)
    assert isinstance(found[first], Waveform)
    assert isinstance(found[last], Waveform)


def test_a_row_that_cannot_be_decoded_fails_alone(rows):
    runner, (first, sick, last) = rows
    sick.payload.x = sick.payload.x[:, :5]
    found = runner.decode([first, sick, last])

    assert isinstance(found[sick], RowFailed)
    assert isinstance(found[first], Waveform)
    assert isinstance(found[last], Waveform)
