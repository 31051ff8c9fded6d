"""The check of reference clips: what it measures of sounds that were made to measure, and what it mends."""

import numpy as np
import pytest

from megatts3.audio import loudness
from megatts3.audio.reference_check import (
    MAX_S,
    TARGET_LUFS,
    Fix,
    Problem,
    check_reference,
)
from megatts3.audio.waveform import Waveform

RATE = 24_000


def syllables(seconds: float, *, level: float = 0.2, rate: int = RATE, seed: int = 1) -> np.ndarray:
    """Speech's outline: harmonic syllables of 200 ms, four to the second, and a pause of 0.3 s every 1.5 s."""
    t = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12))
    swell = 0.3 + 0.7 * np.abs(np.sin(2 * np.pi * 2 * t))
    talking = (t % 1.5) < 1.2
    found = tone * swell * talking
    return level * found / np.max(np.abs(found))


def noise(count: int, rms: float, seed: int = 3) -> np.ndarray:
    return rms * np.random.default_rng(seed).standard_normal(count)


def sound(samples: np.ndarray, rate: int = RATE) -> Waveform:
    return Waveform(samples.astype(np.float32), rate)


def active_rms(samples: np.ndarray) -> float:
    frames = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    power = np.mean(frames**2, axis=1)
    return float(np.sqrt(np.mean(power[power > 0.05 * power.max()])))


def test_a_good_clip_comes_back_as_it_was_and_nothing_is_said_against_it():
    clip = sound(syllables(8) + noise(8 * RATE, 1e-4))

    used, found = check_reference(clip)

    assert used is clip
    assert (found.problems, found.fixes) == ((), ())
    assert (found.start_s, found.end_s) == (0.0, 8.0)
    assert found.duration_s == 8.0


@pytest.mark.parametrize("snr_db", [8, 12, 20, 30])
def test_the_noise_estimate_is_near_the_noise_that_was_added(snr_db: int):
    speech = syllables(12)
    rms = active_rms(speech) / 10 ** (snr_db / 20)

    _, found = check_reference(sound(speech + noise(len(speech), rms)))

    assert found.snr_db == pytest.approx(snr_db, abs=3)
    assert found.noise_dbfs == pytest.approx(20 * np.log10(rms), abs=3)
    assert (Problem.NOISY in found.problems) == (snr_db < 15)


@pytest.mark.parametrize("turned_down", [1.0, 0.4])
def test_clipping_is_found_even_after_the_file_was_turned_down(turned_down: float):
    clipped = np.clip(3.0 * syllables(6, level=1.0), -1, 1) * turned_down
    clipped = np.round(clipped * 32767) / 32767

    _, found = check_reference(sound(clipped))

    assert Problem.CLIPPED in found.problems
    share = np.mean(np.abs(clipped) >= 0.999 * np.abs(clipped).max())
    assert found.clipped_share == pytest.approx(share, rel=0.2)


def test_a_loud_clip_that_is_not_clipped_is_not_called_so():
    _, found = check_reference(sound(syllables(6, level=0.99)))

    assert found.clipped_share == 0.0
    assert found.problems == ()


def test_a_quiet_clip_is_raised_to_speech_level():
    used, found = check_reference(sound(syllables(6, level=0.004)))

    assert Problem.QUIET in found.problems
    assert found.fixes == (Fix.LEVEL_RAISED,)
    assert loudness.measure(used) == pytest.approx(TARGET_LUFS, abs=1.0)
    assert used.peak <= 0.951


def test_a_clip_beyond_full_scale_is_brought_down():
    used, found = check_reference(sound(5.0 * syllables(6, level=1.0)))

    assert Problem.OVERLOADED in found.problems
    assert Fix.LEVEL_LOWERED in found.fixes
    assert used.peak == pytest.approx(0.95, abs=1e-3)


def test_dc_is_taken_out():
    used, found = check_reference(sound(syllables(6) + 0.1))

    assert found.dc_offset == pytest.approx(0.1, abs=0.01)
    assert found.fixes == (Fix.DC_REMOVED,)
    assert abs(float(used.samples.mean())) < 1e-3


def test_silence_around_the_speech_is_cut_and_none_of_the_speech():
    speech = syllables(5)
    samples = np.concatenate([np.zeros(3 * RATE), speech, np.zeros(4 * RATE)])

    used, found = check_reference(sound(samples))

    assert found.fixes == (Fix.SILENCE_TRIMMED,)
    assert found.start_s == pytest.approx(3.0, abs=0.25)
    assert found.end_s == pytest.approx(8.0, abs=0.5)
    assert np.sum(used.samples**2) == pytest.approx(np.sum(speech**2), rel=0.001)


def test_of_a_minute_the_best_stretch_is_kept():
    """Thin speech first, then a clipped part, then 25 s of dense speech."""
    thin = syllables(20) * np.repeat([1, 0, 0, 0], 5 * RATE)
    ruined = np.clip(9 * syllables(15, level=1.0), -1, 1)
    good = syllables(25)
    used, found = check_reference(sound(np.concatenate([thin, ruined, good])))

    assert Fix.SHORTENED in found.fixes
    assert used.duration_s <= MAX_S
    assert found.start_s >= 33
    assert found.end_s == pytest.approx(60, abs=1)


def test_long_silence_around_short_speech_is_trimmed_not_shortened():
    _, found = check_reference(sound(np.concatenate([np.zeros(10 * RATE), syllables(20), np.zeros(10 * RATE)])))

    assert found.fixes == (Fix.SILENCE_TRIMMED,)


@pytest.mark.parametrize("seconds", [29, 90])
def test_a_long_clip_without_a_pause_still_fits(seconds: int):
    tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(seconds * RATE) / RATE)

    used, found = check_reference(sound(tone))

    assert MAX_S / 2 <= used.duration_s <= MAX_S
    assert Problem.STEADY in found.problems


def test_with_a_latent_nothing_is_changed_but_all_is_told():
    clip = sound(np.concatenate([np.zeros(3 * RATE), syllables(40, level=0.004) + 0.1]))

    used, found = check_reference(clip, may_change=False)

    assert used is clip
    assert found.fixes == ()
    assert Problem.DC_OFFSET in found.problems
    assert (found.start_s, found.end_s) == (0.0, MAX_S)


def test_little_speech_much_silence_and_a_narrow_band_are_told():
    quiet = np.concatenate(
        [syllables(1.2, rate=8000), np.zeros(4000), syllables(1.2, rate=8000)[:4000], np.zeros(24000)]
    )

    _, found = check_reference(sound(quiet, 8000), may_change=False)

    assert {Problem.SHORT, Problem.MUCH_SILENCE, Problem.NARROW_BAND} <= set(found.problems)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(10), np.zeros(RATE * 40), np.full(RATE, 1e-6)])
def test_silence_is_handed_on_for_the_prompt_to_refuse(samples: np.ndarray):
    used, found = check_reference(sound(samples))

    assert found.loudness_lufs is None or found.loudness_lufs < -60
    assert used.peak == pytest.approx(sound(samples).peak)
