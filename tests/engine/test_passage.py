"""A passage of a text sounds as it does within the whole, whichever engine says it."""

import numpy as np
import pytest

from megatts3.audio.join import join
from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.request import Passage, SynthesisRequest
from megatts3.pipeline.plan import plan
from megatts3.pipeline.synthesize import synthesize
from megatts3.sampling.params import SamplingParams

TEXT = "first of all.\nsecond one.\nand a third line, longer.\nthe end."
PARAMS = SamplingParams(steps=3, seed=11)
LIMIT_16_BIT = 1  # the same as for rows that share a batch, see test_equivalence.py


def finished(engine, *submissions):
    while not all(submission.is_over for submission in submissions):
        engine.step()
    return [result for submission in submissions for result in submission]


@pytest.fixture
def segments(tiny, frontend):
    return Engine(tiny, frontend).read(TEXT)


def test_segments_said_by_several_engines_make_the_audio_that_one_makes(tiny, frontend, voice, segments):
    """Each engine says every other segment, two at a time, out of order."""
    whole = synthesize(tiny, frontend, TEXT, voice, PARAMS)
    found = {}
    for start in (1, 0):
        engine = Engine(tiny, frontend, EngineConfig(max_rows=2))
        submissions = [
            engine.submit(
                SynthesisRequest(f"s{n}", "", voice, PARAMS, passage=Passage((segments[n],), n, len(segments)))
            )
            for n in range(start, len(segments), 2)
        ]
        found |= {result.planned.index: result.waveform for result in finished(engine, *submissions)}
    joined = join([found[n] for n in range(len(segments))])

    assert len(segments) == 4
    assert np.abs(joined.pcm16().astype(int) - whole.pcm16()).max() <= LIMIT_16_BIT


def test_a_passage_out_of_place_sounds_different(tiny, frontend, voice, segments):
    """Else the test above would hold without the place."""
    engine = Engine(tiny, frontend)
    here, there = (
        engine.submit(SynthesisRequest(f"at{first}", "", voice, PARAMS, passage=Passage((segments[1],), first, 4)))
        for first in (1, 2)
    )
    one, other = finished(engine, here, there)

    assert one.waveform.samples.tobytes() != other.waveform.samples.tobytes()


def test_a_result_brings_the_plan_it_was_made_by(tiny, frontend, voice, segments):
    engine = Engine(tiny, frontend)
    (result,) = finished(
        engine, engine.submit(SynthesisRequest("r", "", voice, PARAMS, passage=Passage((segments[2],), 2, 4)))
    )

    assert result.planned == plan(tiny, frontend, TEXT, voice, PARAMS).segments[2]
    assert result.planned_s == result.planned.duration_s
