"""Plans: lengths add up, speed and pitch do what they say, words lie inside their segments."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.errors import UnknownPhone
from megatts3.pipeline.plan import (
    Plan,
    PlannedSegment,
    duration_prompt,
    plan,
    plan_segment,
    segment_generator,
)
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.timing import timings
from megatts3.sampling.params import SamplingParams

TEXT = "hello there, how are you.\nthis is the second.\nand a third."
LINES = st.lists(st.text("abcdefgh ,", min_size=1, max_size=30).map(str.strip).filter(bool), min_size=1, max_size=4)


@given(lines=LINES, seed=st.integers(0, 1_000), speed=st.floats(0.25, 4.0), pitch=st.floats(0.5, 2.0))
@settings(max_examples=40, deadline=None)
def test_every_segment_lasts_a_multiple_of_8_frames(tiny, frontend, voice, lines, seed, speed, pitch):
    found = plan(tiny, frontend, "\n".join(lines), voice, SamplingParams(seed=seed, speed=speed, pitch=pitch))

    for segment in found.segments:
        assert segment.frames % 8 == 0
        assert segment.frames > 0
        assert min(segment.durations) >= 0
        assert len(segment.durations) == len(segment.phones) == len(segment.tones)


def test_a_plan_repeats_with_its_seed_and_differs_with_another(tiny, frontend, voice):
    first, again, other = (plan(tiny, frontend, TEXT, voice, SamplingParams(seed=s)) for s in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.5, 2.0])
def test_speed_divides_the_duration(tiny, frontend, voice, speed):
    usual = plan(tiny, frontend, TEXT, voice, SamplingParams()).predicted_s
    found = plan(tiny, frontend, TEXT, voice, SamplingParams(speed=speed)).predicted_s

    assert found == pytest.approx(usual / speed, rel=0.12)


@pytest.mark.parametrize("pitch", [0.5, 0.8, 1.25, 2.0])
def test_pitch_keeps_the_duration(tiny, frontend, voice, pitch):
    usual = plan(tiny, frontend, TEXT, voice, SamplingParams())
    found = plan(tiny, frontend, TEXT, voice, SamplingParams(pitch=pitch))

    assert found.predicted_s == usual.predicted_s
    assert found.segments[0].durations == usual.segments[0].durations


@pytest.mark.parametrize("pitch", [0.7, 1.0, 1.6])
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_what_is_spoken_lasts_as_long_as_predicted(tiny, frontend, voice, speed, pitch):
    params = SamplingParams(steps=2, speed=speed, pitch=pitch)
    predicted_s = plan(tiny, frontend, TEXT, voice, params).predicted_s

    assert synthesize(tiny, frontend, TEXT, voice, params).duration_s == pytest.approx(predicted_s, abs=1e-3)


@pytest.mark.parametrize("phone", [-1, 174, 301])
def test_a_phone_outside_the_table_is_refused_before_any_network_sees_it(tiny, voice, phone):
    segment = PlannedSegment(0, "", (145, phone), (3, 3), ())
    with pytest.raises(UnknownPhone):
        plan_segment(tiny, duration_prompt(tiny, voice), segment, 0, 1, SamplingParams(), segment_generator(0, 0))


def test_words_lie_in_order_inside_their_segments(tiny, frontend, voice):
    found = timings(plan(tiny, frontend, TEXT, voice, SamplingParams()))

    assert [word.text for word in found[0].words] == ["hello", "there", "how", "are", "you"]
    for segment in found:
        edges = [segment.start_s]
        for word in segment.words:
            edges += [word.start_s, word.end_s]
        edges.append(segment.end_s)
        assert all(a <= b for a, b in pairwise(edges))


def test_timings_end_where_the_sound_ends(tiny, frontend, voice):
    found = plan(tiny, frontend, TEXT, voice, SamplingParams())

    assert timings(found)[-1].end_s == pytest.approx(found.predicted_s)
    assert timings(found)[0].start_s == 0.0


def test_chinese_words_are_characters_and_pauses_are_theirs_alone():
    """Pauses: 。 and ， are nobody's time."""
    segment = PlannedSegment(0, "你好，世界。", (145, 10, 20, 163, 30, 40, 148), (3,) * 7, (8, 10, 10, 32, 20, 20, 64))
    words = timings(Plan((segment,)))[0].words

    assert [word.text for word in words] == list("你好世界")
    assert [round(word.start_s, 2) for word in words] == [0.08, 0.18, 0.6, 0.8]
    assert round(words[1].end_s, 2) == 0.28


def test_a_text_whose_pauses_the_phones_do_not_show_shares_the_whole():
    segment = PlannedSegment(0, "one, two, three", (145, 101, 102, 103, 148), (3,) * 5, (8, 20, 20, 20, 64))
    words = timings(Plan((segment,)))[0].words

    assert [word.text for word in words] == ["one", "two", "three"]
    assert words[0].start_s == pytest.approx(0.08)
    assert words[-1].end_s == pytest.approx(0.68)


def test_an_empty_plan_lasts_no_time():
    assert Plan(()).predicted_s == 0
