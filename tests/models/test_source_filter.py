import numpy as np
import pytest
import torch

from megatts3.audio.pitch import pitch
from megatts3.models.layers.source_filter import SourceFilterDecoder

RATE = 24_000
HARMONICS, NOISE = slice(0, 481), slice(481, 962)
SILENT, HUMMING = -30.0, -3.0


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return SourceFilterDecoder(16, 16, prenet_layers=1, layers=2, n_fft=960, hop=240).eval()


@torch.no_grad()
def spoken_at(decoder, hz, *, harmonics, noise):
    """One second at a steady pitch, with flat filters."""
    share = np.log(hz / 50.0) / np.log(550.0 / 50.0)
    decoder.pitch_head.weight.zero_()
    decoder.pitch_head.bias.fill_(float(np.log(share / (1 - share))))
    decoder.filter_head.weight.zero_()
    decoder.filter_head.bias[HARMONICS], decoder.filter_head.bias[NOISE] = harmonics, noise
    return decoder(torch.zeros(1, 25, 16))[0, 0].numpy()


@pytest.mark.parametrize("hz", [80.0, 143.0, 310.0])
def test_the_pulses_have_the_pitch_that_the_head_says(decoder, hz):
    samples = spoken_at(decoder, hz, harmonics=HUMMING, noise=SILENT)

    assert pitch(samples, RATE).median_hz == pytest.approx(hz, rel=0.01)


def test_noise_alone_has_no_pitch_and_is_always_the_same(decoder):
    first = spoken_at(decoder, 120.0, harmonics=SILENT, noise=HUMMING)
    again = spoken_at(decoder, 120.0, harmonics=SILENT, noise=HUMMING)

    assert np.array_equal(first, again)
    assert np.std(first) > 0.01
    assert len(pitch(first, RATE).voiced) < 10


def test_the_filters_power_does_not_depend_on_the_pitch(decoder):
    low, high = (np.std(spoken_at(decoder, hz, harmonics=HUMMING, noise=SILENT)) for hz in (90.0, 360.0))

    assert low == pytest.approx(high, rel=0.1)


def test_the_stated_context_gives_the_pitch_and_the_loudness_of_a_full_decode(decoder):
    context = decoder.context_latents
    x = torch.randn(1, 3 * context, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pitch_full, full = decoder.pitch_and_samples(x)
        pitch_part, part = decoder.pitch_and_samples(x[:, context:])

    torch.testing.assert_close(pitch_part[:, 4 * context :], pitch_full[:, 8 * context :], atol=1e-5, rtol=0)
    loud_full, loud_part = (y[0, 0, -960 * context :].reshape(-1, 960).std(1) for y in (full, part))
    assert ((loud_part / loud_full).log10().abs() * 20).median() < 1.5  # dB


def test_the_stated_context_is_needed(decoder):
    context = decoder.context_latents
    x = torch.randn(1, 3 * context, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pitch_full, _ = decoder.pitch_and_samples(x)
        pitch_cut, _ = decoder.pitch_and_samples(x[:, 2 * context :])

    assert (pitch_cut - pitch_full[:, 8 * context :]).abs().max() > 1e-3


@torch.no_grad()
def spoken_in_turns(decoder, first_hz, second_hz, *, pause):
    """Half a second at one pitch, 80 ms of noise alone where `pause` says so, half a second at another."""
    frames, silence = 100, slice(46, 54)
    hz = torch.full((1, frames), first_hz)
    hz[:, 50:] = second_hz
    shares = (hz / 50.0).log() / np.log(550.0 / 50.0)
    filters = torch.full((1, frames, 962), SILENT)
    filters[..., HARMONICS] = HUMMING
    if pause:
        filters[:, silence, HARMONICS], filters[:, silence, NOISE] = SILENT, HUMMING
    hooks = [
        decoder.pitch_head.register_forward_hook(lambda *_: torch.logit(shares)[..., None]),
        decoder.filter_head.register_forward_hook(lambda *_: filters),
    ]
    samples = decoder(torch.zeros(1, 25, 16))[0, 0].numpy()
    for hook in hooks:
        hook.remove()
    return samples[58 * 240 :]


def test_after_a_pause_the_pulses_know_nothing_of_the_pitch_before_it(decoder):
    """So what rounding has added to the phase by then is gone."""
    low, high = (spoken_in_turns(decoder, hz, 200.0, pause=True) for hz in (90.0, 131.0))
    run_on_low, run_on_high = (spoken_in_turns(decoder, hz, 200.0, pause=False) for hz in (90.0, 131.0))

    assert np.abs(low - high).max() < 1e-4 * np.abs(low).max()
    assert np.abs(run_on_low - run_on_high).max() > 0.1 * np.abs(run_on_low).max()
