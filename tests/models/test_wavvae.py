import pytest
import torch

from megatts3.config import WaveVAEConfig
from megatts3.models.layers.weight_norm import fold_weight_norm
from megatts3.models.wavvae import WaveVAE

ENCODINGS = ["wavvae/encode_0", "wavvae/encode_2"]
DECODINGS = ["wavvae/decode_0", "wavvae/decode_2"]


@pytest.fixture(scope="module", params=["as stored", "folded"])
def wavvae(golden, request):
    network = WaveVAE(WaveVAEConfig.from_dict(golden.json("wavvae/config")))
    golden.fill(network, "wavvae/weights")
    if request.param == "folded":
        fold_weight_norm(network)
    return network


def assert_intermediates(golden, seen, case):
    compared = 0
    for key in (key for key in case if key.startswith("mid.")):
        name = key.removeprefix("mid.").removesuffix(".head").removesuffix(".tail")
        found, width = seen[name][0], case[key].shape[-1]
        if key.endswith(".tail"):
            found = found[..., -width:]
        elif key.endswith(".head"):
            found = found[..., :width]
        golden.assert_near(found, case[key], what=key)
        compared += 1
    assert compared >= 10


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_posterior_and_every_stage_before_it_are_reproduced(golden, wavvae, name):
    case = golden.tensors(name)
    with golden.outputs(wavvae) as seen:
        posterior = wavvae.encode(case["in.wav"])
    assert_intermediates(golden, seen, case)
    golden.assert_near(posterior.mean.transpose(1, 2), case["out.mean"])
    golden.assert_near(posterior.log_variance.transpose(1, 2), case["out.logvar"])
    drawn = posterior.sample(case["noise.posterior"].transpose(1, 2))
    golden.assert_near(drawn, case["out.latent_sampled"])


@pytest.mark.parametrize("name", DECODINGS)
def test_the_waveform_and_every_stage_before_it_are_reproduced(golden, wavvae, name):
    case = golden.tensors(name)
    with golden.outputs(wavvae) as seen:
        samples = wavvae.decode(case["in.latent"])
    assert_intermediates(golden, seen, case)
    golden.assert_near(samples[:, None], case["out.wav"])


def decode_alone_and_together(network):
    latent = torch.randn(3, 14, 32, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([9, 14, 5])
    together = network.decode(latent, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = network.decode(latent[row : row + 1, :length])[0]
        yield together[row, : len(alone)], alone
        assert not together[row, len(alone) :].any()


def test_a_row_of_a_batch_decodes_as_it_does_alone(golden, wavvae):
    for found, alone in decode_alone_and_together(wavvae):
        golden.assert_near(found, alone, limit=1e-5)


@pytest.fixture(scope="module")
def light():
    torch.manual_seed(0)
    return WaveVAE(
        WaveVAEConfig(
            enc_n_filters=2, enc_dimension=16, dec_in=16, decoder="source_filter", light_dim=16, light_layers=2
        )
    ).eval()


def test_a_row_of_a_batch_decodes_as_it_does_alone_by_the_light_decoder(golden, light):
    # Rounding in the pitch adds up in the pulses' phase, and a random network's pulses are as sharp as they can be.
    for found, alone in decode_alone_and_together(light):
        golden.assert_near(found, alone, limit=5e-3)


def test_the_stated_context_makes_a_partial_decode_equal_to_the_full_one(golden):
    network = WaveVAE(WaveVAEConfig.from_dict(golden.json("wavvae/config")))
    golden.fill(network, "wavvae/weights")
    context = network.context_latents
    latent = torch.randn(1, 3 * context, 32, generator=torch.Generator().manual_seed(1))
    full = network.decode(latent)
    partial = network.decode(latent[:, context:])
    golden.assert_near(partial[:, 960 * context :], full[:, 2 * 960 * context :], limit=1e-5)


def test_a_latent_lasts_960_samples_and_a_begun_one_counts(wavvae):
    samples = torch.randn(1, 2 * 960 + 1, generator=torch.Generator().manual_seed(1))
    assert wavvae.encode(samples).mean.shape == (1, 3, 32)
