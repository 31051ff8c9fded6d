"""Every layout and every file format of the same weights speaks the same audio."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from megatts3.checkpoint import load_networks
from megatts3.checkpoint import network as networks_of
from megatts3.checkpoint.files import ALIGNER, COMPONENTS, DIT, DURATION_LM, WAVVAE
from megatts3.checkpoint.fill import UNUSED_PREFIXES, fill
from megatts3.checkpoint.stored import Stored
from megatts3.checkpoint.unfilled import Unfilled
from megatts3.errors import CheckpointError
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams
from tests.checkpoint.forms import NAMES, make_checkpoint, write_release_configs
from tests.tiny_library import SpellingFrontend, reference_audio

FORMS = ("release-zip", "release-legacy", "seed-zip", "seed-legacy", "seed-flat", "seed-safetensors")
MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"
COMPONENT_OF = {"diffusion_transformer": DIT, "duration_lm": DURATION_LM, "aligner_lm": ALIGNER, "wavvae": WAVVAE}


def spoken(checkpoint, **options):
    """The whole way: load, clone a voice, speak two segments."""
    networks = load_networks(checkpoint, **options)
    latent = None
    if not networks.capabilities.encoder:
        latent = np.random.default_rng(0).standard_normal((1, 37, 32)).astype(np.float32)
    voice = prepare_voice(networks, reference_audio(1.0), latent=latent)
    params = SamplingParams(steps=1, seed=3)
    return synthesize(networks, SpellingFrontend(), "a.\nb", voice, params).samples


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return spoken(make_checkpoint(tmp_path_factory.mktemp("ours"), "ours"))


@pytest.mark.parametrize(
    ("form", "configs"),
    [*((form, "ours") for form in FORMS), ("release-zip", "release"), ("release-legacy", "none"), ("seed-zip", "none")],
)
def test_the_same_weights_speak_the_same_audio_whatever_their_form(tmp_path, expected, form, configs):
    checkpoint = make_checkpoint(tmp_path / "c", form)
    if configs == "none":
        for file in checkpoint.rglob("config.yaml"):
            file.unlink()
    elif configs == "release":
        write_release_configs(checkpoint)
    assert np.array_equal(spoken(checkpoint), expected)


@pytest.mark.parametrize("form", ["ours", "release-zip"])
def test_a_decoder_alone_speaks_with_a_latent(tmp_path, form):
    checkpoint = make_checkpoint(tmp_path / "c", form, encoder=False)
    assert not load_networks(checkpoint).capabilities.encoder
    assert np.array_equal(spoken(checkpoint), spoken(make_checkpoint(tmp_path / "o", "ours", encoder=False)))


def test_safetensors_are_preferred_where_both_are_there(tmp_path, expected):
    checkpoint = make_checkpoint(tmp_path / "c", "ours")
    for folder in NAMES:
        (checkpoint / folder / "model_only_last.ckpt").write_bytes(b"damaged")
    assert np.array_equal(spoken(checkpoint), expected)


def test_of_two_dits_the_one_that_is_named_is_used(tmp_path, expected):
    checkpoint = make_checkpoint(tmp_path / "c", "seed-zip")
    large = checkpoint / "dit_large"
    large.mkdir()
    for name in ("model.pt", "config.yaml"):
        (large / name).write_bytes((checkpoint / "dit_base" / name).read_bytes())
    (checkpoint / "dit_base" / "model.pt").write_bytes(b"the other one")
    assert np.array_equal(spoken(large / "model.pt"), expected)
    with pytest.raises(CheckpointError, match="dit_base"):
        load_networks(checkpoint)


def test_float32_weights_of_safetensors_are_mapped_not_read(tmp_path):
    networks = load_networks(make_checkpoint(tmp_path / "c", "ours"))
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    del networks


@pytest.mark.parametrize("name", COMPONENT_OF)
def test_every_tensor_of_the_official_files_is_used_exactly_once(name, tmp_path):
    """At official size: each tensor holds a number of its own, spread over its shape without taking memory."""
    manifest = json.loads((MANIFESTS / f"{name}.json").read_text())
    listed = manifest.get("tensors") or manifest["tensors_decoder"] | manifest["tensors_encoder"]
    numbers = {key: float(i + 1) for i, key in enumerate(listed)}
    tensors = {key: torch.tensor(numbers[key]).expand(*entry["shape"]) for key, entry in listed.items()}
    stored = Stored(tmp_path / "model_only_last.ckpt", tensors)
    component = COMPONENT_OF[name]
    assert component in COMPONENTS
    with Unfilled():
        network = networks_of.BUILDERS[component](stored)

    fill(network, str(stored.file), tensors, dtype=torch.float32, device=torch.device("cpu"))

    used = {key: float(tensor.flatten()[0]) for key, tensor in network.state_dict().items()}
    needed = {key: number for key, number in numbers.items() if not key.startswith(UNUSED_PREFIXES)}
    assert used == needed
    assert all(key.startswith(UNUSED_PREFIXES) for key in tensors)  # what is left of the file
