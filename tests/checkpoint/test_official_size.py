"""A whole release at its official size, of random numbers in half precision: 2.7 GB on disk, removed afterwards."""

import json
import resource
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models

from megatts3.checkpoint import load_networks
from megatts3.checkpoint.fill import UNUSED_PREFIXES
from tests.checkpoint.forms import NAMES, RELEASE_CONFIG

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
MANIFESTS = Path(__file__).parents[1] / "golden" / "manifests"
FIRST_CODE = 151_667  # of the release's tokenizer, as SPEC 1.5 infers it
ROWS = 168_896
QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": ROWS,
    "tie_word_embeddings": True,
    "max_position_embeddings": 32_768,
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-6,
    "torch_dtype": "bfloat16",
}


def listed(name):
    manifest = json.loads((MANIFESTS / f"{name}.json").read_text())
    return manifest.get("tensors") or manifest["tensors_decoder"] | manifest["tensors_encoder"]


def numbers(shape, dtype=torch.float16):
    """Small, finite, and not all alike."""
    return torch.randn(shape, dtype=torch.float32).mul_(0.02).to(dtype)


def write_release(path):
    for name, key in NAMES.items():
        folder = path / name
        folder.mkdir(parents=True)
        tensors = {each: numbers(entry["shape"]) for each, entry in listed(name).items()}
        if name == "diffusion_transformer":
            tensors["unknown.table"] = numbers((200, 1024))
        payload = {"state_dict": {key: tensors}, "global_step": 400_000}
        torch.save(payload, folder / "model_only_last.ckpt", _use_new_zipfile_serialization=name != "aligner_lm")
        (folder / "config.yaml").write_text(json.dumps(RELEASE_CONFIG[name]))
    write_g2p(path / "g2p")


def write_g2p(folder):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN))
    vocabulary = {f"w{i}": i for i in range(FIRST_CODE - 2)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    names = ["<BOT>", "<BOS>", *(f"<Reserved_TTS_{k}>" for k in range(802))]
    tokenizer.add_tokens([AddedToken(name, special=True) for name in names])
    assert tokenizer.token_to_id("<Reserved_TTS_0>") == FIRST_CODE
    tokenizer.save(str(folder / "tokenizer.json"))
    width, inner, small = 896, 4864, 128
    shapes = {"model.embed_tokens.weight": (ROWS, width), "model.norm.weight": (width,)}
    for i in range(24):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}input_layernorm.weight": (width,), f"{layer}post_attention_layernorm.weight": (width,)}
        for part, rows in (("q", width), ("k", small), ("v", small)):
            shapes |= {
                f"{layer}self_attn.{part}_proj.weight": (rows, width),
                f"{layer}self_attn.{part}_proj.bias": (rows,),
            }
        shapes |= {f"{layer}self_attn.o_proj.weight": (width, width), f"{layer}mlp.down_proj.weight": (width, inner)}
        shapes |= {f"{layer}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
    tensors = {key: numbers(shape, torch.bfloat16) for key, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_release_of_official_size_loads_with_every_tensor_in_place(tmp_path):
    write_release(tmp_path / "release")
    size = sum(file.stat().st_size for file in (tmp_path / "release").rglob("*") if file.is_file())
    try:
        started = time.perf_counter()
        networks = load_networks(tmp_path / "release", dtype=torch.bfloat16)
        seconds = time.perf_counter() - started
        assert networks.capabilities.encoder
        assert networks.capabilities.g2p_network
        for name, network in (
            ("diffusion_transformer", networks.dit),
            ("duration_lm", networks.duration_lm),
            ("aligner_lm", networks.aligner),
            ("wavvae", networks.wavvae),
        ):
            needed = {key for key in listed(name) if not key.startswith(UNUSED_PREFIXES)}
            assert set(network.state_dict()) == needed
        (spelled,) = networks.g2p.spell(["w1"])
        assert spelled.codes[0] == 145
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{size / 1e9:.2f} GB on disk, loaded in {seconds:.0f} s, at most {peak / 1e6:.2f} GB in memory")  # noqa: T201
    finally:
        for file in (tmp_path / "release").rglob("*.*"):
            if file.is_file():
                file.unlink()
