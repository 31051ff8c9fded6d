"""Each stage of a recipe as one function: build the network, take up what earlier stages left, train, leave weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from megatts3.checkpoint import load_networks, save_networks
from megatts3.config import Architecture, load_architecture
from megatts3.models.aligner import Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import SAMPLES_PER_LATENT, WaveVAE
from megatts3.training.aligner import AlignerStage, look_where_times_point, start_times_from_positions
from megatts3.training.data import Corpus, crops, write_pitch
from megatts3.training.dit import DiTStage
from megatts3.training.duration_lm import DurationStage
from megatts3.training.loop import averaged, train
from megatts3.training.recipe import TrainConfig
from megatts3.training.voices import write_voices
from megatts3.training.wavvae import WaveVAEStage, balance_spectrum, normalise_latents, start_balanced, write_latents

WEIGHTS_FILE = "weights.pt"
LICENCE = "Apache-2.0"
SOURCE = "trained by this project's recipe on speech of flite (BSD-like licence) and espeak-ng (output is free)"


@dataclass(frozen=True)
class Workshop:
    """Where a recipe is carried out.  `folder` holds one subfolder per stage; `corpus` is what make_corpus wrote."""

    recipe: TrainConfig
    folder: Path
    corpus: Path
    checkpoint: Path
    device: torch.device
    start_from: Path | None = None  # a finished checkpoint whose weights, where they fit, are where learning begins

    @cached_property
    def sizes(self) -> Architecture:
        return load_architecture(Path(self.recipe.architecture))

    @cached_property
    def training(self) -> Corpus:
        return Corpus(self.corpus, "train")

    def run(self, stage: str) -> None:
        """Carry out one of recipe.STAGES; a stage that was interrupted goes on where it stopped."""
        torch.manual_seed(self.recipe.corpus.seed)
        steps: Mapping[str, Callable[[], None]] = {
            "wavvae": self._wavvae, "latents": self._latents, "decoder": self._decoder, "aligner": self._aligner,
            "duration_lm": self._duration_lm, "dit": self._dit, "export": self._export,
        }  # fmt: skip
        steps[stage]()

    def _begin(self, model: nn.Module, file: str) -> bool:
        """Take over what fits of `start_from`; whether there is such a checkpoint."""
        if self.start_from is None:
            return False
        own = model.state_dict()
        stored = load_file(self.start_from / file)
        fitting = {name: value for name, value in stored.items() if name in own and value.shape == own[name].shape}
        model.load_state_dict({**own, **fitting})
        return True

    def _wavvae(self) -> None:
        write_pitch([self.training], self.corpus)
        model = WaveVAE(self.sizes.wavvae)
        begun = self._begin(model, "wavvae/model.safetensors")
        model.to(self.device)
        recipe = self.recipe.wavvae
        first = crops(
            self.training,
            np.random.default_rng(0),
            rows=recipe.rows,
            samples=recipe.latents * SAMPLES_PER_LATENT,
        )
        if not begun:
            start_balanced(model, first.samples.to(self.device))
        stage = WaveVAEStage(model, self.training, recipe, self.device)
        train(stage, self.recipe.wavvae_loop, self.folder / "wavvae", device=self.device)

    def _latents(self) -> None:
        model = WaveVAE(self.sizes.wavvae)
        model.load_state_dict(averaged(self.folder / "wavvae"))
        model.to(self.device).eval()
        normalise_latents(model, self.training)
        write_latents(model, [self.training], self.corpus)
        self._keep("latents", model)

    def _decoder(self) -> None:
        model = WaveVAE(self.sizes.wavvae)
        model.load_state_dict(self._kept("latents"))
        stage = WaveVAEStage(model, self.training, self.recipe.decoder, self.device)
        train(stage, self.recipe.decoder_loop, self.folder / "decoder", device=self.device)

    def _aligner(self) -> None:
        aligner = Aligner(self.sizes.aligner)
        start_times_from_positions(aligner)
        look_where_times_point(aligner)
        self._begin(aligner, "aligner_lm/model.safetensors")
        stage = AlignerStage(aligner, self.training, self.recipe.aligner, self.device)
        train(stage, self.recipe.aligner_loop, self.folder / "aligner_lm", device=self.device)

    def _duration_lm(self) -> None:
        model = DurationLM(self.sizes.duration_lm)
        self._begin(model, "duration_lm/model.safetensors")
        stage = DurationStage(model, self.training, self.recipe.duration_lm, self.device)
        train(stage, self.recipe.duration_lm_loop, self.folder / "duration_lm", device=self.device)

    def _dit(self) -> None:
        model = DiffusionTransformer(self.sizes.dit)
        self._begin(model, "diffusion_transformer/model.safetensors")
        stage = DiTStage(model, self.training, self.recipe.dit, self.device)
        train(stage, self.recipe.dit_loop, self.folder / "dit", device=self.device)

    def _export(self) -> None:
        """Write the checkpoint from whatever each stage has reached; the decoder stage may be missing."""
        wavvae = WaveVAE(self.sizes.wavvae)
        tuned = (self.folder / "decoder").exists()
        wavvae.load_state_dict(averaged(self.folder / "decoder") if tuned else self._kept("latents"))
        balance_spectrum(wavvae.eval(), self.training)
        dit = DiffusionTransformer(self.sizes.dit)
        dit.load_state_dict(averaged(self.folder / "dit"))
        duration_lm = DurationLM(self.sizes.duration_lm)
        duration_lm.load_state_dict(averaged(self.folder / "duration_lm"))
        aligner = Aligner(self.sizes.aligner)
        prefix = "aligner."
        aligner.load_state_dict({
            name.removeprefix(prefix): value
            for name, value in averaged(self.folder / "aligner_lm").items()
            if name.startswith(prefix)
        })  # fmt: skip
        save_networks(
            self.checkpoint, dit, duration_lm, aligner, wavvae,
            name=self.recipe.name, licence=LICENCE, source=SOURCE, dtype=torch.float16,
        )  # fmt: skip
        write_voices(self.training, load_networks(self.checkpoint), self.checkpoint)

    def _keep(self, stage: str, model: nn.Module) -> None:
        folder = self.folder / stage
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), folder / WEIGHTS_FILE)

    def _kept(self, stage: str) -> Mapping[str, Tensor]:
        kept: Mapping[str, Tensor] = torch.load(
            self.folder / stage / WEIGHTS_FILE, map_location="cpu", weights_only=True
        )
        return kept
