import pytest

from megatts3.checkpoint.fill import UNUSED_PREFIXES
from megatts3.checkpoint.unfilled import Unfilled
from megatts3.config import AlignerConfig, DiTConfig, DurationLMConfig, WaveVAEConfig
from megatts3.models.aligner import Aligner
from megatts3.models.diffusion_transformer import DiffusionTransformer
from megatts3.models.duration_lm import DurationLM
from megatts3.models.wavvae import WaveVAE

RELEASE = {
    "diffusion_transformer": lambda: DiffusionTransformer(DiTConfig()),
    "duration_lm": lambda: DurationLM(DurationLMConfig()),
    "aligner_lm": lambda: Aligner(AlignerConfig()),
    "wavvae": lambda: WaveVAE(WaveVAEConfig()),
}


@pytest.mark.parametrize("name", RELEASE)
def test_names_and_shapes_at_release_size_are_those_of_the_official_files(golden, name):
    manifest = golden.json(f"manifests/{name}")
    stored = manifest.get("tensors") or manifest["tensors_decoder"] | manifest["tensors_encoder"]
    expected = {key: tuple(t["shape"]) for key, t in stored.items() if not key.startswith(UNUSED_PREFIXES)}
    with Unfilled():
        network = RELEASE[name]()
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == expected
