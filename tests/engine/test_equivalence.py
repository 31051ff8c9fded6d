"""The batched engine says what the reference path says, whoever shares the batch.

On a CPU in float32 a neighbour may change the order in which a matrix product adds up, and so the last bits
of a float (about 1e-6 of full scale after all steps); in 16-bit samples that is a difference of at most 1.
Alone, a request gives the same bytes every time.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.audio.join import join
from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.request import SynthesisRequest
from megatts3.pipeline.synthesize import speak_segments
from megatts3.sampling.params import SamplingParams

LIMIT_16_BIT = 1
TURNS = 2_000

TEXTS = ("a.", "hello there.", "one two three, four.", "first.\nsecond one.", "a much longer line than the others are.")
PARAMS = (
    SamplingParams(steps=3),
    SamplingParams(steps=5, seed=7),
    SamplingParams(steps=1, speed=1.5),
    SamplingParams(steps=4, text_guidance=2.0, speaker_guidance=2.0, pitch=1.2),
    SamplingParams(steps=4, solver="euler", grid="uniform"),
)


@dataclass(frozen=True)
class Asked:
    """Something to say, and the turn of the loop at which it is asked."""

    text: str
    params: SamplingParams
    at: int


ASKED = st.lists(
    st.builds(Asked, text=st.sampled_from(TEXTS), params=st.sampled_from(PARAMS), at=st.integers(0, 8)),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def alone(tiny, frontend, voice):
    """`alone(asked)` → its segments by the reference path; remembered."""
    known = {}

    def speak(asked):
        key = (asked.text, asked.params)
        if key not in known:
            known[key] = list(speak_segments(tiny, frontend, asked.text, voice, asked.params))
        return known[key]

    return speak


def run(engine, voice, everything):
    """Hand each in at its turn and step until all is said.  Returns the results by place."""
    submissions = {}
    for turn in range(TURNS):
        for place, asked in enumerate(everything):
            if asked.at == turn:
                request = SynthesisRequest(f"r{place}", asked.text, voice, asked.params)
                submissions[place] = engine.submit(request)
        if len(submissions) == len(everything) and all(s.is_over for s in submissions.values()):
            return [list(submissions[place]) for place in range(len(everything))]
        engine.step()
    raise AssertionError("not finished")


def off_by(found, expected):
    assert len(found.samples) == len(expected.samples)
    return np.abs(found.pcm16().astype(int) - expected.pcm16()).max()


def test_the_engine_says_exactly_what_the_reference_path_says(tiny, frontend, voice, alone):
    """One row at a time the tensors have the same shapes: not a bit may differ but for the time vectors'."""
    for text in TEXTS:
        for params in PARAMS:
            asked = Asked(text, params, at=0)
            (found,) = run(Engine(tiny, frontend, EngineConfig(max_rows=1)), voice, [asked])
            for result, expected in zip(found, alone(asked), strict=True):
                assert off_by(result.waveform, expected) <= LIMIT_16_BIT


@given(everything=ASKED, max_rows=st.integers(1, 6), max_latent_frames=st.none() | st.integers(150, 900))
@settings(max_examples=20, deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(tiny, frontend, voice, alone, everything, max_rows, max_latent_frames):
    """Whoever shares the batch, at whatever place, whichever step it joined at."""
    engine = Engine(tiny, frontend, EngineConfig(max_rows=max_rows, max_latent_frames=max_latent_frames))
    found = run(engine, voice, everything)

    for asked, results in zip(everything, found, strict=True):
        assert [result.index for result in results] == list(range(len(results)))
        for result, expected in zip(results, alone(asked), strict=True):
            assert off_by(result.waveform, expected) <= LIMIT_16_BIT


def test_alone_a_request_gives_the_same_bytes_every_time(tiny, frontend, voice):
    asked = Asked("first.\nsecond one.", SamplingParams(steps=4), at=0)
    runs = [run(Engine(tiny, frontend), voice, [asked])[0] for _ in range(2)]
    first, again = (join([result.waveform for result in results]) for results in runs)

    assert first.samples.tobytes() == again.samples.tobytes()


def test_a_busy_engine_gives_a_lone_request_the_same_bytes_as_a_fresh_one(tiny, frontend, voice):
    """What ran before leaves no trace: kept vectors and voices do not change a result."""
    engine = Engine(tiny, frontend)
    run(engine, voice, [Asked(text, params, at=0) for text in TEXTS for params in PARAMS])
    asked = Asked("hello there.", PARAMS[1], at=0)
    request = SynthesisRequest("late", asked.text, voice, asked.params)
    submission = engine.submit(request)
    while not submission.is_over:
        engine.step()
    (late,) = submission
    ((fresh,),) = run(Engine(tiny, frontend), voice, [asked])

    assert late.waveform.samples.tobytes() == fresh.waveform.samples.tobytes()


def test_every_voice_keeps_its_own_sound_and_loudness(tiny, frontend, voice, recording):
    """Two voices in one batch: nothing of one may reach the other."""
    from megatts3.pipeline.voice import prepare_voice

    other = prepare_voice(tiny, recording(2.0, level=0.02, seed=5))
    params = SamplingParams(steps=3)
    engine = Engine(tiny, frontend)
    submissions = [
        (v, engine.submit(SynthesisRequest(f"{n}", "hello there.", v, params)))
        for n, v in enumerate([voice, other, voice, other])
    ]
    while not all(submission.is_over for _, submission in submissions):
        engine.step()

    for used, submission in submissions:
        (result,) = submission
        (expected,) = speak_segments(tiny, frontend, "hello there.", used, params)
        assert off_by(result.waveform, expected) <= LIMIT_16_BIT
