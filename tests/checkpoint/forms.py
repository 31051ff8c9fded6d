"""One tiny checkpoint in every form that the loader reads."""

import shutil

import torch
import yaml
from safetensors.torch import load_file

from megatts3.checkpoint.files import DECODER_ONLY, PLAIN_WEIGHTS, RELEASE_WEIGHTS, WEIGHTS
from scripts.make_tiny_checkpoint import make_tiny_checkpoint

NAMES = {
    "diffusion_transformer": "dit",
    "duration_lm": "dur_model",
    "aligner_lm": "model",
    "wavvae": "model_gen",
}
SEEDS_FOLDERS = {"diffusion_transformer": "dit_base", "wavvae": "wavevae"}
# What the release's own files carry beside sizes, as far as it matters here.
RELEASE_CONFIG = {
    "diffusion_transformer": {"base_config": ["./base.yaml"], "win_size": 1200, "frames_multiple": 8, "lr": 1e-4},
    "duration_lm": {"base_config": ["./base.yaml"], "dur_model_type": "ar_mse", "use_post_ln": False, "dropout": 0.1},
    "aligner_lm": {"base_config": ["./base.yaml"], "hop_size": 160},
    "wavvae": {"base_config": ["./b.yaml"], "vae_stride": 4, "hop_size": 240, "melgan_config": {"use_tanh": True}},
}
# Unused by inference, stored by the release all the same.
RELEASE_EXTRAS = {
    "diffusion_transformer": {"unused.table": torch.zeros(200, 4)},
    "duration_lm": {"char_encoder.emb.weight": torch.zeros(5, 3), "char_empty_embed.weight": torch.zeros(1, 3)},
}


def make_checkpoint(path, form, *, encoder=True):
    """A tiny checkpoint with the official decoder, of the same numbers in each form.

    form: "ours", "release-zip", "release-legacy", "seed-zip", "seed-legacy", "seed-flat", "seed-safetensors"
    """
    make_tiny_checkpoint(path, decoder="hifigan", encoder=encoder)
    _use_one_head(path)
    if form == "ours":
        return path
    layout, kind = form.split("-")
    for folder, name in NAMES.items():
        weights = path / folder / WEIGHTS
        tensors = load_file(weights)
        if layout == "release":
            payload = {"state_dict": {name: tensors | RELEASE_EXTRAS.get(folder, {})}, "global_step": 100}
            decoder_only = folder == "wavvae" and not encoder
            _save(payload, weights.with_name(DECODER_ONLY if decoder_only else RELEASE_WEIGHTS), kind)
        elif kind != "safetensors":
            payload = dict(tensors) if kind == "flat" else {"state_dict": {name: tensors}}
            _save(payload, weights.with_name(PLAIN_WEIGHTS), kind)
        if kind != "safetensors":
            weights.unlink()
        if layout == "seed" and folder in SEEDS_FOLDERS:
            shutil.move(path / folder, path / SEEDS_FOLDERS[folder])
    return path


def _use_one_head(path):
    """As many heads as shapes tell of so few channels (heads have 64 in the release)."""
    for folder, key in (("diffusion_transformer", "n_heads"), ("aligner_lm", "n_head")):
        config = path / folder / "config.yaml"
        values = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump(values | {key: 1}))


def _save(payload, file, kind):
    torch.save(payload, file, _use_new_zipfile_serialization=kind != "legacy")


def write_release_configs(path):
    """Replace config.yaml by what the release has there: no sizes of the networks."""
    for folder, values in RELEASE_CONFIG.items():
        (path / folder / "config.yaml").write_text(yaml.safe_dump(values))
