"""The reference path: repeatable, as loud as its reference, and the decoder is spared the prompt."""

import numpy as np
import pytest
import torch

from megatts3.audio import loudness
from megatts3.pipeline.conditioning import condition, guided
from megatts3.pipeline.finish import decode_target, decode_windows, target_window
from megatts3.pipeline.plan import plan
from megatts3.pipeline.synthesize import synthesize
from megatts3.sampling.guidance import Branch
from megatts3.sampling.params import SamplingParams

TEXT = "hello there.\nand again."
FEW = SamplingParams(steps=4)


def test_the_same_request_gives_the_same_samples(tiny, frontend, voice):
    first, again = (synthesize(tiny, frontend, TEXT, voice, FEW) for _ in range(2))

    np.testing.assert_array_equal(first.samples, again.samples)


def test_another_seed_gives_other_samples(tiny, frontend, voice):
    other = synthesize(tiny, frontend, TEXT, voice, SamplingParams(steps=4, seed=1))

    assert not np.array_equal(other.samples, synthesize(tiny, frontend, TEXT, voice, FEW).samples)


def test_what_is_spoken_is_as_loud_as_the_reference(tiny, frontend, voice):
    spoken = synthesize(tiny, frontend, "hello there my friend.", voice, FEW)

    assert np.isfinite(spoken.samples).all()
    assert loudness.measure(spoken) == pytest.approx(voice.loudness_lufs, abs=0.1) or spoken.peak > 0.9


@pytest.mark.parametrize("prompt_frames", [1, 4, 6, 30])
def test_decoding_the_target_alone_equals_decoding_everything(tiny, prompt_frames):
    wavvae = tiny.wavvae
    generator = torch.Generator().manual_seed(0)
    latent, prompt = (torch.randn(n, 32, generator=generator) for n in (prompt_frames + 20, prompt_frames))
    whole = torch.cat((prompt, latent[prompt_frames:]))
    with torch.inference_mode():
        expected = wavvae.decode(whole[None])[0, prompt_frames * 960 :]

    found = decode_target(wavvae, latent, prompt)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("kind", ["tiny", "tiny_light"])
def test_windows_decoded_together_sound_as_they_do_alone(request, kind):
    """Prompts shorter and longer than the context, targets of different lengths."""
    wavvae = request.getfixturevalue(kind).wavvae
    generator = torch.Generator().manual_seed(0)
    pairs = [(torch.randn(p + t, 32, generator=generator), torch.randn(p, 32, generator=generator))
             for p, t in [(2, 9), (40, 14), (wavvae.context_latents, 9), (30, 1)]]  # fmt: skip
    together = decode_windows(wavvae, [target_window(wavvae, x[len(p) :], p) for x, p in pairs])

    for (latent, prompt), found in zip(pairs, together, strict=True):
        expected = decode_target(wavvae, latent, prompt)
        assert len(found) == len(expected) == 960 * (len(latent) - len(prompt))
        error = (found - expected).abs()
        if kind == "tiny":
            assert float(error.max() / expected.abs().max()) < 1e-5
        else:  # rounding differences add up in the phase of a random network's sharp pulses
            assert float(error.mean() / expected.abs().mean()) < 0.01


def test_a_window_is_the_target_with_so_much_of_the_prompt_as_it_hears(tiny):
    wavvae, latent, prompt = tiny.wavvae, torch.randn(60, 32), torch.randn(50, 32)
    window = target_window(wavvae, latent[50:], prompt)

    assert window.context == wavvae.context_latents
    torch.testing.assert_close(window.latents[: window.context], prompt[50 - window.context :], rtol=0, atol=0)
    torch.testing.assert_close(window.latents[window.context :], latent[50:], rtol=0, atol=0)


@pytest.mark.parametrize(("text_guidance", "speaker_guidance"), [(1.6, 1.6), (1.0, 2.5), (2.0, 0.0), (1.0, 1.0)])
def test_branches_that_do_not_count_are_spared_without_a_change(tiny, frontend, voice, text_guidance, speaker_guidance):
    params = SamplingParams(text_guidance=text_guidance, speaker_guidance=speaker_guidance)
    segment = plan(tiny, frontend, "hello.", voice, params).segments[0]
    spared = condition(tiny.dit, voice, segment, params)
    every = condition(tiny.dit, voice, segment, SamplingParams())

    assert len(spared.branches) < len(every.branches) == 3
    x = torch.randn(1, every.latent_frames, 32, generator=torch.Generator().manual_seed(0))

    def velocity(given):
        rows = len(given.branches)
        mask = given.prompt_mask.expand(rows, -1, -1)
        with torch.inference_mode():
            return tiny.dit.velocity(x.expand(rows, -1, -1), torch.full((rows,), 0.3), given.states, mask)

    torch.testing.assert_close(
        guided(velocity(spared), spared.branches, params), guided(velocity(every), tuple(Branch), params)
    )
