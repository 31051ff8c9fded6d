"""From a teacher's clip to an utterance that keeps the duration rules."""

import random

import numpy as np
import pytest

from megatts3.training.corpus.speech import Spoken, TimedPhone, Unusable, utterance

SIL, HH, COMMA, AX, STOP = 145, 118, 163, 106, 148


def spoken(*timed, rate=16_000):
    ends = [end for _, end in timed]
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, round(ends[-1] * rate)).astype(np.float32)
    return Spoken(samples, rate, tuple(TimedPhone(phone, 3, end) for phone, end in timed))


def an_utterance(ratio=1.0, seed=0):
    clip = spoken((SIL, 0.2), (HH, 0.5), (COMMA, 0.65), (AX, 0.9), (STOP, 1.0))
    return utterance(clip, ratio=ratio, rng=random.Random(seed))


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.25])
def test_samples_and_durations_agree(ratio):
    made = an_utterance(ratio)

    assert len(made.samples) == 240 * sum(made.durations)
    assert sum(made.durations) % 8 == 0
    assert len(made.phones) == len(made.durations) == len(made.tones)


@pytest.mark.parametrize("seed", range(5))
def test_pauses_are_as_long_as_the_duration_rules_make_them(seed):
    sil, _, comma, _, stop = an_utterance(seed=seed).durations

    assert 6 <= sil <= 10
    assert comma >= 32
    assert stop >= 64


def test_a_higher_voice_is_a_faster_one():
    assert an_utterance(1.25).durations[1] == pytest.approx(an_utterance(1.0).durations[1] / 1.25, abs=1)


def test_a_phone_without_a_frame_is_not_learnt_from():
    with pytest.raises(Unusable):
        utterance(spoken((SIL, 0.2), (HH, 0.202), (AX, 0.5), (STOP, 0.7)), ratio=1.0, rng=random.Random(0))
