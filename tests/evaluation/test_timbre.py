import numpy as np
import pytest

from megatts3.evaluation import timbre
from tests.evaluation.signals import RATE, voice

SPEAKERS = {f"{hz}-{tilt}": (hz, tilt) for hz in (90, 140, 210, 280) for tilt in (0.8, 1.2, 1.6)}


def clip(name, seed):
    hz, tilt = SPEAKERS[name]
    wobble = np.random.default_rng([seed, hz]).uniform(0.97, 1.03)
    return voice(hz * wobble, 0.6, tilt=tilt * wobble, seed=seed)


@pytest.fixture(scope="module")
def space():
    return timbre.fit({name: [timbre.features(clip(name, seed), RATE) for seed in range(4)] for name in SPEAKERS})


@pytest.fixture(scope="module")
def known(space):
    return {name: space.embed(timbre.features(clip(name, 10), RATE)) for name in SPEAKERS}


def test_a_new_clip_of_a_voice_is_nearest_to_that_voice(space, known):
    right = [
        timbre.nearest(space.embed(timbre.features(clip(name, seed), RATE)), known) == name
        for name in SPEAKERS
        for seed in (20, 21)
    ]
    assert np.mean(right) > 0.9


def test_level_does_not_change_a_voice(space):
    sound = clip("140-1.2", 3)
    loud, quiet = (space.embed(timbre.features(gain * sound, RATE)) for gain in (1.0, 0.1))
    assert np.allclose(loud, quiet, atol=0.5)  # within a speaker the deviation is 1


def test_pitch_alone_tells_two_voices_apart(space, known):
    shifted = space.embed(timbre.features(voice(210, 0.6, tilt=1.2), RATE))
    assert timbre.nearest(shifted, known).startswith("210-")


def test_silence_and_very_short_clips_have_features_too():
    for sound in (np.zeros(RATE), np.zeros(10)):
        assert np.all(np.isfinite(timbre.features(sound, RATE)))


def test_one_speaker_is_too_few_to_learn_from():
    with pytest.raises(ValueError, match="two speakers"):
        timbre.fit({"alone": [np.zeros(3), np.ones(3)]})
