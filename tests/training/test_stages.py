"""Each stage takes steps that lower its loss on a few utterances, and the loop can be interrupted."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from megatts3.config import load_architecture
from megatts3.models.aligner import BEGIN_TOKEN, END_TOKEN, Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE
from megatts3.training.aligner import AlignerRecipe, AlignerStage
from megatts3.training.dit import DiTRecipe, DiTStage, spread
from megatts3.training.duration_lm import DurationRecipe, DurationStage
from megatts3.training.loop import LoopConfig, Stage, StepContext, averaged, train
from megatts3.training.wavvae import WaveVAERecipe, WaveVAEStage, normalise_latents, start_balanced
from tests.training.conftest import DURATIONS

SIZES = load_architecture(Path(__file__).parents[2] / "configs" / "architecture" / "tiny.yaml")
CPU = torch.device("cpu")
FEW = LoopConfig(steps=12, lr=2e-3, warmup_steps=1, log_every=4, bfloat16=False)


def first_and_last(stage: Stage, folder: Path, config: LoopConfig = FEW) -> tuple[float, float]:
    """The loss of one and the same batch, before and after training."""

    def loss() -> float:
        torch.manual_seed(1)
        context = StepContext(np.random.default_rng(1), progress=0.0, step=0)
        with torch.no_grad():
            return float(stage.losses(context)["total"])

    before = loss()
    train(stage, config, folder, device=CPU)
    stage.module.load_state_dict(torch.load(folder / "state.pt", weights_only=True)["module"])
    return before, loss()


def a_stage(kind: str, corpus):
    torch.manual_seed(0)
    if kind == "wavvae":
        return WaveVAEStage(wavvae(), corpus, WaveVAERecipe(rows=2, latents=8), CPU)
    if kind == "aligner":
        return AlignerStage(Aligner(SIZES.aligner), corpus, AlignerRecipe(frame_budget=400, tail_frames=0), CPU)
    if kind == "duration_lm":
        return DurationStage(DurationLM(SIZES.duration_lm), corpus, DurationRecipe(rows=4), CPU)
    return DiTStage(DiffusionTransformer(SIZES.dit), corpus, DiTRecipe(latent_budget=200), CPU)


def wavvae() -> WaveVAE:
    return WaveVAE(dataclasses.replace(SIZES.wavvae, decoder="istft", istft_dim=32))


@pytest.mark.parametrize("kind", ["wavvae", "aligner", "duration_lm", "dit"])
def test_a_stage_learns_from_a_few_steps(kind, corpus, tmp_path):
    before, after = first_and_last(a_stage(kind, corpus), tmp_path / "run")

    assert np.isfinite(after)
    assert after < before


def test_an_interrupted_run_ends_where_an_unbroken_one_does(corpus, tmp_path):
    train(a_stage("duration_lm", corpus), FEW, tmp_path / "unbroken", device=CPU)
    half = dataclasses.replace(FEW, steps=6, final_lr_share=1.0)
    whole = dataclasses.replace(FEW, final_lr_share=1.0)
    train(a_stage("duration_lm", corpus), half, tmp_path / "broken", device=CPU)
    train(a_stage("duration_lm", corpus), whole, tmp_path / "broken", device=CPU)
    train(a_stage("duration_lm", corpus), whole, tmp_path / "whole", device=CPU)

    ours, theirs = averaged(tmp_path / "broken"), averaged(tmp_path / "whole")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_normalised_latents_sound_the_same(corpus):
    model = wavvae().eval()
    samples = torch.from_numpy(corpus.audio(corpus.entries[0]))[None]
    start_balanced(model, samples)
    with torch.no_grad():
        before = model.decode(model.encode(samples).mean)
        normalise_latents(model, corpus)
        latent = model.encode(samples).mean
        after = model.decode(latent)

    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert latent.mean().abs() < 1.0


def test_an_aligner_example_tells_every_phone_and_its_end(corpus):
    stage = a_stage("aligner", corpus)
    mel, tokens, codes = stage._clip([corpus.entries[0]], np.random.default_rng(0))

    assert tokens[0] == BEGIN_TOKEN
    assert tokens[-1] == END_TOKEN
    assert (tokens[2:-1:2] - 800).tolist() == np.cumsum(DURATIONS).tolist()
    assert mel.shape == (80, sum(DURATIONS))
    assert len(codes) == sum(DURATIONS) // 2


def test_frames_are_spread_over_phones_from_one():
    assert spread(np.array([2, 0, 3])).tolist() == [1, 1, 3, 3, 3]


def test_a_frozen_encoder_does_not_move_while_the_decoder_meets_a_critic(corpus, tmp_path):
    torch.manual_seed(0)
    model = wavvae()
    assert model.encoder is not None
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    decoder_before = model.proj_to_decoder.weight.clone()
    recipe = WaveVAERecipe(rows=2, latents=8, freeze_encoder=True, adversarial_from=0.2)
    train(WaveVAEStage(model, corpus, recipe, CPU), dataclasses.replace(FEW, steps=4), tmp_path / "run", device=CPU)

    assert all(torch.equal(before[name], value) for name, value in model.encoder.state_dict().items())
    assert not torch.equal(decoder_before, model.proj_to_decoder.weight)
