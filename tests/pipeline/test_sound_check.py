"""Sound that is no speech is never handed out: once more in float32 where half precision failed, else an error."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from megatts3.checkpoint import load_networks
from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.request import SynthesisRequest
from megatts3.errors import NonFinite, UnusableSound
from megatts3.pipeline.sound_check import require_sound
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams
from scripts.make_tiny_checkpoint import make_tiny_checkpoint

PARAMS = SamplingParams(steps=3, seed=5)
TEXT = "hello there."
BEYOND_HALF = 3e5  # float16 ends at 65504


def load(folder, *, dtype=torch.float32, overflow=False):
    """Tiny networks; `overflow`: the same function, whose middle values float16 cannot hold."""
    networks = load_networks(folder, dtype=dtype)
    if overflow:
        with torch.no_grad():
            first = networks.dit.encoder.layers[0].feed_forward
            factor = BEYOND_HALF if dtype == torch.float32 else 6e4
            first.w1.weight.mul_(factor)
            first.w1.bias.mul_(factor)
            first.w2.weight.div_(factor)
    return networks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), decoder="hifigan")


@pytest.fixture(scope="module")
def own_voice(folder, recording):
    return prepare_voice(load_networks(folder), recording())


@pytest.fixture(params=["reference", "engine"])
def speak(request, frontend, own_voice):
    """Both ways to speak a text: they must treat bad sound alike."""

    def by_reference(networks):
        return synthesize(networks, frontend, TEXT, own_voice, PARAMS).samples

    def by_engine(networks):
        engine = Engine(networks, frontend, EngineConfig(threads=1))
        engine.start()
        try:
            (segment,) = engine.submit(SynthesisRequest("a", TEXT, own_voice, PARAMS))
        finally:
            engine.stop()
        return segment.waveform.samples

    return by_reference if request.param == "reference" else by_engine


def test_what_overflows_in_float16_is_rendered_once_more_in_float32(folder, speak):
    spoken = speak(load(folder, dtype=torch.float16, overflow=True))
    expected = speak(load(folder))

    assert np.isfinite(spoken).all()
    assert np.abs(spoken - expected).max() < 0.02 * np.abs(expected).max()  # weights of 11 bits


def test_float16_that_does_not_overflow_is_not_rendered_twice(folder, speak, monkeypatch):
    monkeypatch.setattr("megatts3.pipeline.sound_check.in_full_precision", pytest.fail)
    speak(load(folder, dtype=torch.float16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("gain", "fault"), [(0.0, "silent"), (1e6, "clipped")])
def test_silent_and_saturated_sound_is_an_error_in_every_precision(folder, speak, dtype, gain, fault):
    networks = load(folder, dtype=dtype)
    last = networks.wavvae.decoder.model_up[12]
    with torch.no_grad():
        last.weight.mul_(gain)  # the folded weight
        last.bias.zero_()

    with pytest.raises(UnusableSound) as refused:
        speak(networks)

    assert refused.value.fault == fault


def test_a_decoder_that_yields_nan_is_an_error(folder, speak):
    networks = load(folder)
    with torch.no_grad():
        networks.wavvae.proj_to_decoder.bias[0] = float("nan")

    with pytest.raises(UnusableSound, match="not finite"):
        speak(networks)


def test_a_bad_row_of_half_precision_leaves_its_neighbour_as_it_was(folder, frontend, own_voice):
    networks = load(folder, dtype=torch.float16)
    poisoned = replace(own_voice, latent=np.full_like(own_voice.latent, np.nan))
    alone, beside = (Engine(networks, frontend, EngineConfig(max_rows=2, threads=1)) for _ in range(2))

    def run(engine, voices):
        handed = [engine.submit(SynthesisRequest(str(i), TEXT, v, PARAMS)) for i, v in enumerate(voices)]
        while not all(submission.is_over for submission in handed):
            engine.step()
        return handed

    (expected,) = run(alone, [own_voice])
    well, sick = run(beside, [own_voice, poisoned])

    assert isinstance(sick.error, NonFinite | UnusableSound)
    (one,), (other,) = list(expected), list(well)
    assert np.abs(one.waveform.samples - other.waveform.samples).max() < 0.02


@pytest.mark.parametrize("samples", [torch.zeros(0), torch.zeros(960), torch.full((960,), 9e-5)])
def test_nothing_and_next_to_nothing_are_silence(samples):
    with pytest.raises(UnusableSound, match="silent"):
        require_sound(samples)


def test_a_single_peak_at_full_scale_is_no_saturation():
    samples = 0.1 * torch.sin(torch.arange(2400) / 5.0)
    samples[100] = 1.0
    require_sound(samples)
