"""The batched engine says what the reference path says, whoever shares the batch.

On a CPU in float32 a neighbour may change the order in which a matrix product adds up, and so the last bits
of a float (about 1e-6 of full scale after all steps); in 16-bit samples that is a difference of at most 2.
Alone, a request gives the same bytes every time.
"""

import contextlib
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.audio.join import join
from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.request import Priority, SynthesisRequest
from megatts3.errors import Cancelled
from megatts3.pipeline.synthesize import speak_segments
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams

LIMIT_16_BIT = 2
TURNS = 2_000

TEXTS = ("a.", "hello there.", "one two three, four.", "first.\nsecond one.", "a much longer line than the others are.")
PARAMS = (
    SamplingParams(steps=3),
    SamplingParams(steps=5, seed=7),
    SamplingParams(steps=1, speed=1.5),
    SamplingParams(steps=4, text_guidance=2.0, speaker_guidance=2.0),
    SamplingParams(steps=4, solver="euler", grid="uniform"),
)


@dataclass(frozen=True)
class Asked:
    """Something to say, in which voice, and the turn of the loop at which it is asked, or given up."""

    text: str
    params: SamplingParams
    at: int
    voice: int = 0
    given_up_after: int | None = None
    priority: Priority = Priority.INTERACTIVE
    client: str = ""


ASKED = st.lists(
    st.builds(
        Asked,
        text=st.sampled_from(TEXTS),
        params=st.sampled_from(PARAMS),
        at=st.integers(0, 8),
        voice=st.integers(0, 1),
        given_up_after=st.none() | st.integers(0, 12),
        priority=st.sampled_from(Priority),
        client=st.sampled_from(["", "ann", "bob"]),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def voices(tiny, voice, recording):
    return [voice, prepare_voice(tiny, recording(2.0, level=0.02, seed=5))]


@pytest.fixture(scope="module")
def alone(tiny, frontend, voices):
    """`alone(asked)` → its segments by the reference path; remembered."""
    known = {}

    def speak(asked):
        key = (asked.text, asked.params, asked.voice)
        if key not in known:
            known[key] = list(speak_segments(tiny, frontend, asked.text, voices[asked.voice], asked.params))
        return known[key]

    return speak


def run(engine, voices, everything):
    """Hand each in at its turn, give up what is given up, and step until all is over.

    Returns by place the results, of one given up those that were finished before.
    """
    submissions = {}
    for turn in range(TURNS):
        for place, asked in enumerate(everything):
            if asked.at == turn:
                request = SynthesisRequest(
                    f"r{place}", asked.text, voices[asked.voice], asked.params,
                    priority=asked.priority, client=asked.client,
                )  # fmt: skip
                submissions[place] = engine.submit(request)
            if asked.given_up_after is not None and asked.at + asked.given_up_after == turn:
                submissions[place].cancel()
        if len(submissions) == len(everything) and all(s.is_over for s in submissions.values()):
            return [heard(submissions[place]) for place in range(len(everything))]
        engine.step()
    raise AssertionError("not finished")


def heard(submission):
    results = []
    with contextlib.suppress(Cancelled):
        results.extend(submission)
    return results


def off_by(found, expected):
    assert len(found.samples) == len(expected.samples)
    return np.abs(found.pcm16().astype(int) - expected.pcm16()).max()


@pytest.mark.parametrize("forward", ["packed", "padded"])
def test_the_engine_says_exactly_what_the_reference_path_says(tiny, frontend, voices, alone, forward):
    for text in TEXTS:
        for params in PARAMS:
            asked = Asked(text, params, at=0)
            (found,) = run(Engine(tiny, frontend, EngineConfig(max_rows=1, forward=forward)), voices, [asked])
            for result, expected in zip(found, alone(asked), strict=True):
                assert off_by(result.waveform, expected) <= LIMIT_16_BIT


@given(
    everything=ASKED,
    max_rows=st.integers(1, 6),
    max_active=st.none() | st.integers(1, 8),
    max_latent_frames=st.none() | st.integers(150, 900),
    forward=st.sampled_from(["packed", "padded"]),
)
@settings(max_examples=25, deadline=None)
def test_a_row_does_not_depend_on_its_neighbours(tiny, frontend, voices, alone, everything, **limits):
    """Whoever shares the batch, at whatever place, whichever step it joined at, whoever left or was given up."""
    found = run(Engine(tiny, frontend, EngineConfig(**limits)), voices, everything)

    for asked, results in zip(everything, found, strict=True):
        expected = alone(asked)
        assert [result.index for result in results] == list(range(len(results)))
        assert len(results) == len(expected) or asked.given_up_after is not None
        for result, wanted in zip(results, expected, strict=False):
            assert off_by(result.waveform, wanted) <= LIMIT_16_BIT


def test_alone_a_request_gives_the_same_bytes_every_time(tiny, frontend, voices):
    asked = Asked("first.\nsecond one.", SamplingParams(steps=4), at=0)
    runs = [run(Engine(tiny, frontend), voices, [asked])[0] for _ in range(2)]
    first, again = (join([result.waveform for result in results]) for results in runs)

    assert first.samples.tobytes() == again.samples.tobytes()


def test_a_busy_engine_gives_a_lone_request_the_same_bytes_as_a_fresh_one(tiny, frontend, voices):
    """What ran before leaves no trace: kept vectors and voices do not change a result."""
    engine = Engine(tiny, frontend)
    run(engine, voices, [Asked(text, params, at=0) for text in TEXTS for params in PARAMS])
    asked = Asked("hello there.", PARAMS[1], at=0)
    ((late,),) = run(engine, voices, [asked])
    ((fresh,),) = run(Engine(tiny, frontend), voices, [asked])

    assert late.waveform.samples.tobytes() == fresh.waveform.samples.tobytes()


def test_every_voice_keeps_its_own_sound_and_loudness(tiny, frontend, voices, alone):
    """Two voices in one batch: nothing of one may reach the other."""
    everything = [Asked("hello there.", SamplingParams(steps=3), at=0, voice=n % 2) for n in range(4)]

    for asked, (result,) in zip(everything, run(Engine(tiny, frontend), voices, everything), strict=True):
        (expected,) = alone(asked)
        assert off_by(result.waveform, expected) <= LIMIT_16_BIT
    first, second = (alone(asked)[0].pcm16() for asked in everything[:2])
    assert first.shape != second.shape or (first != second).any()
