"""One voice and three segments through everything, against the published code's own numbers (SPEC 8)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from megatts3.audio import loudness
from megatts3.audio.join import join
from megatts3.audio.waveform import Waveform
from megatts3.config import DiTConfig, DurationLMConfig, WaveVAEConfig
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE
from megatts3.pipeline.alignment import read_alignment
from megatts3.pipeline.durations import frame_to_phone, prompt_tokens
from megatts3.pipeline.plan import duration_prompt, plan_segment
from megatts3.pipeline.synthesize import denoise, render, speak_segments
from megatts3.pipeline.voice import assemble, encode, pad_prompt
from megatts3.sampling.noise import RecordedNoise
from megatts3.sampling.params import SamplingParams

GOLDEN = Path(__file__).parents[1] / "golden"
PARAMS = SamplingParams(steps=4, text_guidance=1.6, speaker_guidance=2.5)
COUNT = 3


@dataclass(frozen=True)
class RecordedNetworks:
    dit: DiffusionTransformer
    duration_lm: DurationLM
    wavvae: WaveVAE
    device: str = "cpu"


@dataclass(frozen=True)
class Segment:
    phones: tuple[int, ...]
    tones: tuple[int, ...]
    text: str = ""


def filled(kind, config, folder):
    sizes = json.loads((GOLDEN / folder / "config.json").read_text())
    module = kind(config.from_dict(sizes))
    weights = load_file(GOLDEN / folder / "weights.safetensors")
    module.load_state_dict({k: v for k, v in weights.items() if not k.startswith("char_")})
    return module.eval()


@pytest.fixture(scope="module")
def networks():
    return RecordedNetworks(
        filled(DiffusionTransformer, DiTConfig, "dit"),
        filled(DurationLM, DurationLMConfig, "duration_lm"),
        filled(WaveVAE, WaveVAEConfig, "wavvae"),
    )


@pytest.fixture(scope="module")
def run():
    return load_file(GOLDEN / "e2e" / "e2e.safetensors")


@pytest.fixture(scope="module")
def facts():
    return json.loads((GOLDEN / "e2e" / "e2e.json").read_text())


@pytest.fixture(scope="module")
def prompt(networks, run, facts):
    padded = pad_prompt(Waveform(run["in.wav"].numpy(), 24_000))
    latent = encode(networks, padded, seed=facts["torch_seed_preprocess"])
    alignment = read_alignment(run["in.align_tokens"].tolist(), facts["prompt_frames"])
    return assemble(alignment, latent, loudness.measure(padded))


@pytest.fixture(scope="module")
def segments(run):
    return [
        Segment(tuple(run[f"seg{i}.in.ph"][0].tolist()), tuple(run[f"seg{i}.in.tone"][0].tolist()))
        for i in range(COUNT)
    ]


class RecordedFrontend:
    def __init__(self, segments):
        self._segments = segments

    def segments(self, _text):
        return self._segments


def error(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_the_prompt_is_padded_as_recorded():
    for case in json.loads((GOLDEN / "audio_post" / "audio.json").read_text())["prompt_padding_ws1200"]:
        padded = pad_prompt(Waveform(np.ones(case["n_in"], np.float32), 24_000))
        assert len(padded.samples) == case["n_padded"]


def test_the_voice_is_the_recorded_one(prompt, run, facts):
    assert prompt.frames == facts["prompt_frames"]
    assert prompt.loudness_lufs == pytest.approx(facts["loudness_prompt"], abs=1e-9)
    assert prompt.phones == tuple(run["prompt.ph"][0].tolist())
    assert prompt.tones == tuple(run["prompt.tone"][0].tolist())
    np.testing.assert_array_equal(frame_to_phone(prompt.durations), run["prompt.mel2ph"][0])
    assert list(prompt_tokens(prompt.durations)) == run["prompt.ctx_dur_tokens"][0].tolist()
    assert error(prompt.latent, run["prompt.latent"][0]) < 1e-4


def test_recorded_noise_draws_the_same_latent_as_its_seed(networks, prompt, run):
    padded = pad_prompt(Waveform(run["in.wav"].numpy(), 24_000))
    latent = encode(networks, padded, noise=run["noise.posterior"].transpose(1, 2))

    np.testing.assert_array_equal(latent[: prompt.latent_frames], prompt.latent)


def test_durations_are_the_recorded_ones(networks, prompt, segments, run, facts):
    draws = torch.Generator().manual_seed(facts["torch_seed_forward"])
    state = duration_prompt(networks, prompt)
    for i, segment in enumerate(segments):
        planned = plan_segment(networks, state, segment, i, COUNT, PARAMS, draws)
        np.testing.assert_array_equal(frame_to_phone(planned.durations), run[f"seg{i}.mel2ph"][0])
        noise = torch.randn(5, prompt.latent_frames + planned.latent_frames, 32, generator=draws)
        torch.testing.assert_close(noise[0], run[f"seg{i}.noise.init"][0], rtol=0, atol=0)


def test_each_segment_sounds_as_recorded(networks, prompt, segments, run, facts):
    draws = torch.Generator().manual_seed(facts["torch_seed_forward"])
    state = duration_prompt(networks, prompt)
    for i, segment in enumerate(segments):
        planned = plan_segment(networks, state, segment, i, COUNT, PARAMS, draws)
        torch.randn(5, prompt.latent_frames + planned.latent_frames, 32, generator=draws)
        noise = RecordedNoise(run[f"seg{i}.noise.init"][0], run[f"seg{i}.noise.steps"])
        assert error(denoise(networks, prompt, planned, PARAMS, noise), run[f"seg{i}.latent"][0]) < 1e-4
        waveform = render(networks, prompt, planned, PARAMS, noise)
        assert len(waveform.samples) == facts["segment_samples"][i]
        assert waveform.peak == pytest.approx(facts["peaks"][i], rel=1e-3)


def test_the_whole_is_the_recorded_waveform(networks, prompt, segments, run, facts):
    """From seeds alone, by the code that serves requests."""
    draws = torch.Generator().manual_seed(facts["torch_seed_forward"])
    frontend = RecordedFrontend(segments)
    spoken = list(speak_segments(networks, frontend, "", prompt, PARAMS, source=lambda _: draws))
    joined = join(spoken)

    assert error(spoken[0].samples, run["seg0.wav_normed"]) < 1e-3
    assert len(joined.samples) == facts["out_samples"]
    assert error(joined.samples, run["out.combined"]) < 1e-3
    assert np.abs(joined.pcm16().astype(int) - run["out.pcm16"].numpy().astype(int)).max() <= 2
