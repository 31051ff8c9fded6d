"""Each stage takes steps that lower its loss on a few utterances, and the loop can be interrupted."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from megatts3.config import load_architecture
from megatts3.models.aligner import BEGIN_TOKEN, END_TOKEN, Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE
from megatts3.training.aligner import (
    AlignerRecipe,
    AlignerStage,
    look_where_times_point,
    start_times_from_positions,
)
from megatts3.training.data import crops
from megatts3.training.dit import DiTRecipe, DiTStage, spread
from megatts3.training.duration_lm import DurationRecipe, DurationStage
from megatts3.training.loop import LoopConfig, Stage, StepContext, averaged, train
from megatts3.training.losses import pitch_distance
from megatts3.training.recipe import TrainConfig
from megatts3.training.stages import Workshop
from megatts3.training.wavvae import WaveVAERecipe, WaveVAEStage, normalise_latents, start_balanced
from scripts.make_tiny_checkpoint import make_tiny_checkpoint
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
    return WaveVAE(dataclasses.replace(SIZES.wavvae, decoder="source_filter", light_dim=32))


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

    # rounding in the pitch adds up in the pulses' phase
    torch.testing.assert_close(after, before, atol=3e-3, rtol=0)
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


def test_crops_know_the_pitch_of_what_they_show(corpus):
    made = crops(corpus, np.random.default_rng(0), rows=4, samples=24_000)

    voiced = made.f0_hz[made.f0_hz > 0]
    assert made.f0_hz.shape == (4, 100)
    assert len(voiced) > 300
    assert all(min(abs(float(hz) / (200 + 40 * n) - 1) for n in range(6)) < 0.02 for hz in voiced)


def test_the_pitch_of_a_wrong_octave_costs_one(corpus):
    f0 = torch.tensor([[100.0, 0.0, 200.0]])

    assert float(pitch_distance(f0.clamp(min=1).log(), f0)) == pytest.approx(0.0, abs=1e-6)
    assert float(pitch_distance((2 * f0).clamp(min=1).log(), f0)) == pytest.approx(1.0, abs=1e-6)


def test_the_decoder_begins_by_looking_where_a_time_points():
    torch.manual_seed(0)
    model = Aligner(SIZES.aligner)
    start_times_from_positions(model)
    look_where_times_point(model)
    attention = model.decoder.blocks[0].cross_attn
    audio = functional.layer_norm(model.encoder.positional_embedding[:60], (SIZES.aligner.n_state,))
    said = functional.layer_norm(model.decoder.token_embedding.weight[800 + 40][None], (SIZES.aligner.n_state,))
    size = SIZES.aligner.n_state // SIZES.aligner.n_head
    scores = attention.query(said)[:, :size] @ attention.key(audio)[:, :size].T

    assert abs(int(scores.argmax()) - 20) <= 1


def test_learning_begins_from_a_finished_checkpoint_where_its_weights_fit(tmp_path):
    tiny_checkpoint = make_tiny_checkpoint(tmp_path / "tiny")
    workshop = Workshop(
        recipe=TrainConfig(name="x", architecture="configs/architecture/tiny.yaml"),
        folder=tmp_path, corpus=tmp_path, checkpoint=tmp_path, device=CPU, start_from=tiny_checkpoint,
    )  # fmt: skip
    model = DurationLM(SIZES.duration_lm)
    stored = load_file(tiny_checkpoint / "duration_lm/model.safetensors")

    assert workshop._begin(model, "duration_lm/model.safetensors")
    assert all(torch.equal(value, stored[name].float()) for name, value in model.state_dict().items())
