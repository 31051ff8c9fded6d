import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from megatts3.checkpoint import load_networks, read_manifest, verify_files
from megatts3.checkpoint.files import DECODER_ONLY, RELEASE_WEIGHTS, WEIGHTS
from megatts3.errors import CheckpointError
from megatts3.models.aligner import greedy_tokens
from megatts3.models.layers.log_mel import prompt_mel
from megatts3.pipeline.alignment import read_alignment
from scripts.make_tiny_checkpoint import SCRIPTED_PHONES, make_tiny_checkpoint

FOLDERS = {
    "diffusion_transformer": ("dit", "dit"),
    "duration_lm": ("duration_lm", "dur_model"),
    "aligner_lm": ("aligner", "model"),
    "wavvae": ("wavvae", "model_gen"),
}


@pytest.fixture
def tiny(tmp_path):
    return make_tiny_checkpoint(tmp_path / "tiny")


def tensors_of(networks):
    return {
        f"{part}.{key}": tensor
        for part, _ in FOLDERS.values()
        for key, tensor in getattr(networks, part).state_dict().items()
    }


def assert_same_tensors(one, other):
    first, second = tensors_of(one), tensors_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def to_release_form(checkpoint, *, zipped=True, outer="", inner="", extra=None):
    """Rewrite every network as the release has it; sizes then come from config.yaml, which stays."""
    for folder, (_, name) in FOLDERS.items():
        weights = checkpoint / folder / WEIGHTS
        tensors = {f"{inner}{key}": tensor for key, tensor in load_file(weights).items()}
        tensors |= (extra or {}).get(folder, {})
        weights.unlink()
        torch.save(
            {"state_dict": {f"{outer}{name}": tensors}, "global_step": 100},
            checkpoint / folder / RELEASE_WEIGHTS,
            _use_new_zipfile_serialization=zipped,
        )


def test_equal_seeds_make_equal_checkpoints_and_other_seeds_do_not(tmp_path, tiny):
    again = load_networks(make_tiny_checkpoint(tmp_path / "again"))
    other = load_networks(make_tiny_checkpoint(tmp_path / "other", seed=1))
    assert_same_tensors(load_networks(tiny), again)
    assert load_networks(tiny).revision == again.revision != other.revision


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(("outer", "inner"), [("", ""), ("module.", "_orig_mod.module.")])
def test_the_release_form_gives_the_same_tensors_as_ours(tiny, zipped, outer, inner):
    ours = load_networks(tiny)
    to_release_form(tiny, zipped=zipped, outer=outer, inner=inner)
    assert_same_tensors(load_networks(tiny), ours)


def test_what_the_release_stores_without_using_it_is_passed_over(tiny):
    unused = torch.zeros(2, 3)
    extra = {
        "diffusion_transformer": {"something.more": unused},
        "duration_lm": {"char_encoder.emb.weight": unused, "char_empty_embed.weight": unused},
    }
    ours = load_networks(tiny)
    to_release_form(tiny, extra=extra)
    assert_same_tensors(load_networks(tiny), ours)


def test_without_model_only_last_the_file_of_most_steps_is_taken(tiny):
    to_release_form(tiny)
    folder = tiny / "aligner_lm"
    right = (folder / RELEASE_WEIGHTS).rename(folder / "model_ckpt_steps_10000.ckpt")
    (folder / "model_ckpt_steps_9000.ckpt").write_bytes(b"older")
    load_networks(tiny)
    right.unlink()
    with pytest.raises(CheckpointError):
        load_networks(tiny)


@pytest.mark.parametrize("dit_folder", ["dit_base", "dit_large"])
def test_folders_and_files_named_as_in_the_users_guide_load_too(tiny, dit_folder):
    ours = load_networks(tiny)
    to_release_form(tiny)
    for folder, name in (("diffusion_transformer", dit_folder), ("wavvae", "wavevae")):
        (tiny / folder / RELEASE_WEIGHTS).rename(tiny / folder / "model.pt")
        (tiny / folder).rename(tiny / name)
    assert_same_tensors(load_networks(tiny), ours)


@pytest.mark.parametrize("name", ["manifest.yaml", "aligner_lm/config.yaml"])
@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00"])
def test_a_yaml_file_that_cannot_be_read_is_named(tiny, name, content):
    (tiny / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_networks(tiny)
    assert caught.value.file == str(tiny / name)


def test_a_decoder_alone_loads_and_says_that_it_cannot_encode(tmp_path):
    checkpoint = make_tiny_checkpoint(tmp_path / "public", decoder="hifigan", encoder=False)
    folder = checkpoint / "wavvae"
    tensors = load_file(folder / WEIGHTS) | {"something.more": torch.zeros(1)}
    (folder / WEIGHTS).unlink()
    torch.save({"state_dict": {"model_gen": tensors}}, folder / DECODER_ONLY)
    networks = load_networks(checkpoint)
    assert not networks.capabilities.encoder
    assert networks.wavvae.decode(torch.zeros(1, 3, 32)).shape == (1, 2880)
    assert load_networks(make_tiny_checkpoint(tmp_path / "whole")).capabilities.encoder


@pytest.mark.parametrize("decoder", ["source_filter", "hifigan"])
def test_a_file_of_half_precision_loads_as_float32(tmp_path, decoder):
    checkpoint = make_tiny_checkpoint(tmp_path / "tiny", decoder=decoder)
    for folder in FOLDERS:
        path = checkpoint / folder / WEIGHTS
        save_file({key: tensor.half() for key, tensor in load_file(path).items()}, path)
    assert {tensor.dtype for tensor in tensors_of(load_networks(checkpoint)).values()} == {torch.float32}


def test_only_the_dit_takes_another_precision(tiny):
    networks = load_networks(tiny, dtype=torch.bfloat16)
    assert networks.dit.postnet.weight.dtype == torch.bfloat16
    assert networks.aligner.decoder.out_proj.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("folder", "inferred"),
    [
        ("duration_lm", {"dur_txt_hs": 16, "dur_model_hidden_size": 32, "num_heads": 2, "decoder_heads": 8}),
        ("wavvae", {"enc_n_filters": 2, "enc_dimension": 16, "dec_in": 16, "ngf": 2}),
        ("diffusion_transformer", {"dim": 32, "n_layers": 2, "n_heads": 1, "ph_heads": 2, "ph_filter": 32}),
        ("aligner_lm", {"n_state": 16, "n_vocab": 4000, "n_text_ctx": 800, "n_layer": 1}),
    ],
)
def test_without_sizes_of_ours_they_are_read_off_the_shapes(tmp_path, folder, inferred):
    checkpoint = make_tiny_checkpoint(tmp_path / "tiny", decoder="hifigan")
    to_release_form(checkpoint)
    values = {"base_config": ["./base.yaml"], "dropout": 0.2, "ling_labels": ["tone"], "win_size": 1200}
    (checkpoint / folder / "config.yaml").write_text(yaml.safe_dump(values))
    config = getattr(load_networks(checkpoint), FOLDERS[folder][0]).config
    assert {key: getattr(config, key) for key in inferred} == inferred


def break_missing(tensors, key):
    del tensors[key]


def break_shape(tensors, key):
    tensors[key] = torch.zeros(*(size + 1 for size in tensors[key].shape))


def break_value(tensors, key):
    tensors[key].view(-1)[0] = float("nan")


@pytest.mark.parametrize("damage", [break_missing, break_shape, break_value])
@pytest.mark.parametrize(
    ("folder", "key"),
    [
        ("diffusion_transformer", "encoder.layers.1.attention.wq.weight"),
        ("duration_lm", "layers.0.op.self_attn.in_proj_weight"),
        ("aligner_lm", "encoder.positional_embedding"),
        ("wavvae", "proj_to_decoder.weight"),
    ],
)
def test_a_missing_misshapen_or_broken_tensor_is_named_with_its_file(tiny, folder, key, damage):
    path = tiny / folder / WEIGHTS
    tensors = load_file(path)
    damage(tensors, key)
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        load_networks(tiny)
    assert (caught.value.file, caught.value.key) == (str(path), key)
    assert key in str(caught.value)


@pytest.mark.parametrize("folder", ["duration_lm", "aligner_lm", "wavvae"])
def test_an_unexpected_tensor_is_named_with_its_file(tiny, folder):
    path = tiny / folder / WEIGHTS
    save_file(load_file(path) | {"stranger": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError) as caught:
        load_networks(tiny)
    assert (caught.value.file, caught.value.key) == (str(path), "stranger")


@pytest.mark.parametrize("name", [WEIGHTS, RELEASE_WEIGHTS])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_file_that_cannot_be_read_is_named(tiny, name, content):
    path = tiny / "aligner_lm" / name
    (tiny / "aligner_lm" / WEIGHTS).unlink()
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_networks(tiny)
    assert caught.value.file == str(path)


def test_a_pickle_with_code_in_it_is_not_run(tiny):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    (tiny / "aligner_lm" / WEIGHTS).unlink()
    torch.save({"state_dict": {"model": Trap()}}, tiny / "aligner_lm" / RELEASE_WEIGHTS)
    with pytest.raises(CheckpointError):
        load_networks(tiny)


def test_a_release_file_of_another_network_is_refused(tiny):
    to_release_form(tiny)
    (tiny / "wavvae" / RELEASE_WEIGHTS).write_bytes((tiny / "duration_lm" / RELEASE_WEIGHTS).read_bytes())
    with pytest.raises(CheckpointError) as caught:
        load_networks(tiny)
    assert "wavvae" in caught.value.file


def test_a_missing_folder_or_file_is_named(tiny, tmp_path):
    (tiny / "aligner_lm" / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="aligner_lm"):
        load_networks(tiny)
    with pytest.raises(CheckpointError, match="nowhere"):
        load_networks(tmp_path / "nowhere")


def test_a_misspelt_size_is_refused_with_the_nearest_name(tiny):
    path = tiny / "diffusion_transformer" / "config.yaml"
    path.write_text(path.read_text().replace("n_layers:", "n_layer:"))
    with pytest.raises(CheckpointError, match="n_layers"):
        load_networks(tiny)


def test_the_manifest_names_the_checkpoint_and_finds_a_changed_file(tiny):
    assert load_networks(tiny).capabilities.name == read_manifest(tiny).name == "tiny"
    verify_files(tiny)
    (tiny / "wavvae" / "config.yaml").write_text("{}")
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        verify_files(tiny)


def test_the_tiny_aligner_hears_its_phones_in_any_recording(tiny):
    networks = load_networks(tiny)
    for seed in range(3):
        samples = torch.randn(24_000, generator=torch.Generator().manual_seed(seed))
        tokens = greedy_tokens(networks.aligner, prompt_mel(samples)[None])[0]
        found = read_alignment(tokens, prompt_frames=144)
        assert found.phones == SCRIPTED_PHONES
        assert sum(found.durations) == 144
