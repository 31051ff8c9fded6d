"""convert, quantize, verify and info: what they write loads and speaks, what they refuse they say."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from megatts3.checkpoint import load_networks, read_manifest, verify_files
from megatts3.checkpoint.quantize import quantize
from megatts3.checkpoints import main
from megatts3.engine.config import EngineConfig
from megatts3.engine.engine import Engine
from megatts3.engine.request import SynthesisRequest
from megatts3.errors import CheckpointError
from megatts3.evaluation.quantized import compare, log_spectral_distance
from megatts3.models.layers.int8_linear import Int8Linear, quantise
from megatts3.pipeline.synthesize import synthesize
from megatts3.pipeline.voice import prepare_voice
from megatts3.sampling.params import SamplingParams
from scripts.make_tiny_checkpoint import make_tiny_checkpoint
from tests.checkpoint.damage import KINDS
from tests.checkpoint.forms import make_checkpoint, write_release_configs
from tests.checkpoint.tiny_g2p import make_g2p
from tests.tiny_library import SpellingFrontend, reference_audio

PARAMS = SamplingParams(steps=2, seed=3)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def spoken(networks, text="hello."):
    voice = prepare_voice(networks, reference_audio(1.0))
    return synthesize(networks, SpellingFrontend(), text, voice, PARAMS).samples


# ---- convert


def test_a_converted_release_speaks_the_same_and_holds_nothing_unused(tmp_path):
    source = make_checkpoint(tmp_path / "release", "release-legacy")
    write_release_configs(source)
    (source / "manifest.yaml").unlink()
    make_g2p(source / "g2p")
    status = main(
        ["convert", str(source), str(tmp_path / "ours"), "--licence", "apache-2.0", "--source", "ByteDance/MegaTTS3@1"]
    )

    assert status == 0
    ours, theirs = load_networks(tmp_path / "ours"), load_networks(source)
    assert np.array_equal(spoken(ours), spoken(theirs))
    assert ours.capabilities.g2p_network
    verify_files(tmp_path / "ours")
    manifest = read_manifest(tmp_path / "ours")
    assert (manifest.licence, manifest.source) == ("apache-2.0", "ByteDance/MegaTTS3@1")
    assert "g2p/tokenizer.json" in manifest.files
    assert not [key for key in load_file(tmp_path / "ours/duration_lm/model.safetensors") if "char" in key]
    assert not list((tmp_path / "ours").rglob("*.ckpt"))
    assert main(["verify", str(tmp_path / "ours")]) == 0


def test_half_precision_halves_the_files(tmp_path, capsys):
    source = make_checkpoint(tmp_path / "ours", "ours")
    assert main(["convert", str(source), str(tmp_path / "half"), "--dtype", "fp16"]) == 0
    name = "diffusion_transformer/model.safetensors"
    assert (tmp_path / "half" / name).stat().st_size < 0.6 * (source / name).stat().st_size
    assert main(["info", str(tmp_path / "half"), "--json"]) == 0
    about = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert set(about["networks"]["diffusion_transformer"]["numbers"]) == {"float16"}


def test_nothing_half_done_is_left_where_the_source_is_damaged(tmp_path, capsys):
    source = make_tiny_checkpoint(tmp_path / "tiny")
    damage = KINDS["a tensor holds NaN"]
    damage.do(source / damage.file)
    assert main(["convert", str(source), str(tmp_path / "ours")]) == 1
    assert not (tmp_path / "ours").exists()
    assert damage.key in capsys.readouterr().err


def test_an_existing_target_is_not_written_over(tmp_path, capsys):
    source = make_tiny_checkpoint(tmp_path / "tiny")
    for command in ("convert", "quantize"):
        assert main([command, str(source), str(source)]) == 1
        assert "remove it, or name another" in capsys.readouterr().err
    verify_files(source)


# ---- verify, info


def test_verify_tells_all_that_is_wrong_not_only_the_first(tmp_path, capsys):
    checkpoint = make_tiny_checkpoint(tmp_path / "tiny")
    assert main(["verify", str(checkpoint)]) == 0
    assert "whole" in capsys.readouterr().out
    for kind in ("a tensor holds NaN", "an empty file"):
        KINDS[kind].do(checkpoint / KINDS[kind].file)

    assert main(["verify", str(checkpoint)]) == 1
    told = capsys.readouterr().out
    assert "WRONG" in told
    assert "NaN" in told
    assert "an empty file" in told
    assert told.count("found no such file") == 0
    assert told.count("expected sha256") == 2
    assert main(["verify", str(tmp_path / "nowhere")]) == 1


def test_info_says_what_the_weights_can_do(tmp_path, capsys):
    checkpoint = make_checkpoint(tmp_path / "c", "release-zip", encoder=False)
    assert main(["info", str(checkpoint)]) == 0
    told = capsys.readouterr().out
    assert "no: voices need a latent" in told
    assert "dictionaries and rules" in told
    assert "CC0-1.0" in told


# ---- quantize


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    source = make_tiny_checkpoint(folder / "tiny")
    quantize(source, folder / "int8")
    return source, folder / "int8"


def test_int8_weights_load_and_speak_nearly_the_same(pair):
    full, small = (load_networks(path) for path in pair)
    layers = [module for module in small.dit.modules() if isinstance(module, Int8Linear)]
    assert len(layers) == 2 * 7  # of each layer: four of attention, two of feed-forward, one of its norm
    one, other = spoken(full), spoken(small)
    assert len(one) == len(other)
    assert 0.0 < np.abs(one - other).max() < 0.2 * np.abs(one).max()
    assert full.revision != small.revision
    verify_files(pair[1])


def test_an_int8_row_does_not_depend_on_its_neighbours(pair):
    small = load_networks(pair[1])
    voice = prepare_voice(small, reference_audio(1.0))

    def run(*texts):
        engine = Engine(small, SpellingFrontend(), EngineConfig(max_rows=len(texts), threads=1))
        handed = [engine.submit(SynthesisRequest(str(i), text, voice, PARAMS)) for i, text in enumerate(texts)]
        while not all(submission.is_over for submission in handed):
            engine.step()
        return [next(iter(submission)).waveform.samples for submission in handed]

    (alone,) = run("hello.")
    beside, _ = run("hello.", "a much longer line of text than that one.")
    assert np.abs(alone - beside).max() < 1e-3 * np.abs(alone).max()


def test_one_loud_position_does_not_coarsen_a_quiet_one():
    torch.manual_seed(0)
    layer = Int8Linear(64, 32, bias=True)
    weight = torch.randn(32, 64)
    layer.weight, layer.weight_scale = quantise(weight)
    layer.bias.data.zero_()
    quiet, loud = torch.randn(1, 64), 1e4 * torch.randn(1, 64)
    assert torch.equal(layer(torch.cat((quiet, loud)))[:1], layer(quiet))
    exact = quiet @ weight.T
    assert (layer(quiet) - exact).abs().max() < 0.05 * exact.abs().max()
    assert torch.isfinite(layer(torch.zeros(2, 64))).all()


def test_a_gpu_refuses_int8_with_the_reason(pair, tmp_path, capsys):
    with pytest.raises(CheckpointError, match="CPU only"):
        load_networks(pair[1], device="cuda")
    assert main(["quantize", str(pair[0]), str(tmp_path / "x"), "--device", "cuda"]) == 1
    told = capsys.readouterr().err
    assert "CPU only" in told
    assert "fp16" in told
    assert not (tmp_path / "x").exists()


def test_int8_weights_are_neither_quantised_nor_converted_again(pair, tmp_path, capsys):
    assert main(["quantize", str(pair[1]), str(tmp_path / "x"), "--no-report"]) == 1
    assert main(["convert", str(pair[1]), str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err.count("INT8") >= 2
    assert not (tmp_path / "x").exists()


def test_a_scale_without_its_layer_is_named(pair, tmp_path):
    import shutil

    from safetensors.torch import save_file

    shutil.copytree(pair[1], tmp_path / "c")
    path = tmp_path / "c" / "diffusion_transformer" / "model.safetensors"
    save_file(load_file(path) | {"encoder.layers.1.attention.wx.weight_scale": torch.ones(32)}, path)
    with pytest.raises(CheckpointError, match=r"wx\.weight_scale"):
        load_networks(tmp_path / "c")


def test_the_report_holds_what_was_measured(pair):
    voices = pair[0] / "voices"
    voices.mkdir(exist_ok=True)
    voice = prepare_voice(load_networks(pair[0]), reference_audio(1.0))
    (voices / "one.safetensors").write_bytes(voice.to_bytes())

    class Ears:
        def words(self, samples, sample_rate):
            return ["hello"]

    found = compare(*pair, ears=Ears(), texts=("hello there.", "你好。"), params=PARAMS)

    table = found.table()
    assert found.sizes_bytes[1] < found.sizes_bytes[0]
    assert found.distance_db > 0.0
    assert "1 of 2 (50.0%)" in table
    assert f"{found.distance_db:.2f} dB" in table
    assert "2 sentences" in table


def test_without_a_voice_there_is_no_report(pair, tmp_path):
    source = make_tiny_checkpoint(tmp_path / "tiny")
    with pytest.raises(CheckpointError, match="prepared voice"):
        compare(source, source, ears=None)


def test_the_spectral_distance_of_half_the_level_is_six_decibels():
    noise = np.random.default_rng(0).standard_normal(24_000)
    assert log_spectral_distance(noise, noise) == 0.0
    assert log_spectral_distance(noise, noise / 2) == pytest.approx(6.02, abs=0.01)
