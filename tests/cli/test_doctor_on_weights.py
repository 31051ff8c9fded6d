"""The doctor's part that loads torch and the weights, on real ones: whole, and broken one way each."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from cli.doctor import in_order
from cli.findings import Finding, Verdict
from cli.model_checks import judge
from contract.settings import Settings
from scripts.make_tiny_checkpoint import make_tiny_checkpoint
from worker.self_test import look

ROOT = Path(__file__).resolve().parents[2]
DIT = "diffusion_transformer/model.safetensors"


def examined(weights: Path, *, out: Path | None = None) -> list[Finding]:
    settings = Settings()
    settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, checkpoint_path=weights))
    facts = look(settings, speak=out is not None, out=out)
    spoken = out.read_bytes() if out is not None and out.exists() else None
    return in_order(list(judge(facts, settings, spoken)))


def test_mini_as_it_ships_is_all_ok_and_speaks(tmp_path: Path):
    found = examined(ROOT / "checkpoints/mini", out=tmp_path / "sentence.wav")

    wrong = [f for f in found if f.verdict is not Verdict.OK and f.subject != "codecs"]  # PyAV is an extra
    assert wrong == []
    assert {f.subject for f in found} == {"torch", "codecs", "checkpoint", "synthesis"}


def without_manifest(weights: Path) -> Path:
    """As the release comes: no hashes to hold the files to."""
    (weights / "manifest.yaml").unlink()
    return weights


def cut_short(weights: Path) -> str:
    data = (weights / DIT).read_bytes()
    (weights / DIT).write_bytes(data[: len(data) // 2])
    return "diffusion_transformer"


def taken_away(weights: Path) -> str:
    shutil.rmtree(weights / "wavvae")
    return "wavvae"


def one_tensor_short(weights: Path) -> str:
    tensors = load_file(weights / DIT)
    del tensors["prenet.bias"]
    save_file(tensors, weights / DIT)
    return "prenet.bias"


def of_another_size(weights: Path) -> str:
    tensors = load_file(weights / DIT)
    tensors["prenet.bias"] = tensors["prenet.bias"][:-1].clone()
    save_file(tensors, weights / DIT)
    return "prenet.bias"


def not_a_number(weights: Path) -> str:
    tensors = load_file(weights / DIT)
    tensors["prenet.bias"][0] = float("nan")
    save_file(tensors, weights / DIT)
    return "prenet.bias"


def with_sizes_of_another(weights: Path) -> str:
    file = weights / "duration_lm/config.yaml"
    file.write_text(file.read_text().replace("dur_model_layers: 1", "dur_model_layers: 2"))
    return "duration_lm"


@pytest.mark.parametrize(
    "broken", [cut_short, taken_away, one_tensor_short, of_another_size, not_a_number, with_sizes_of_another]
)
def test_broken_weights_come_first_with_file_or_tensor(broken: Callable[[Path], str], tmp_path: Path):
    weights = without_manifest(make_tiny_checkpoint(tmp_path / "tiny"))
    word = broken(weights)

    first = examined(weights)[0]

    assert (first.verdict, first.subject) == (Verdict.FAIL, "checkpoint")
    assert word in first.seen
    assert first.remedy


def test_weights_that_load_but_are_not_those_of_the_manifest_are_named_with_both_hashes(tmp_path: Path):
    weights = tmp_path / "mini"
    shutil.copytree(ROOT / "checkpoints/mini", weights)
    tensors = load_file(weights / DIT)
    tensors["prenet.bias"] += 1
    save_file(tensors, weights / DIT)

    first = examined(weights)[0]

    assert (first.verdict, first.subject) == (Verdict.FAIL, "checkpoint")
    assert "sha256" in first.seen
    assert DIT in first.seen


def test_of_two_sizes_the_one_that_is_named_is_looked_at(tmp_path: Path):
    weights = without_manifest(make_tiny_checkpoint(tmp_path / "tiny"))
    (weights / "diffusion_transformer").rename(weights / "dit_base")
    shutil.copytree(weights / "dit_base", weights / "dit_large")
    (weights / "dit_large/model.safetensors").write_bytes(b"nothing")

    assert examined(weights / "dit_base/model.safetensors")[-1].verdict is Verdict.OK
    first = examined(weights / "dit_large/model.safetensors")[0]
    assert (first.verdict, first.subject) == (Verdict.FAIL, "checkpoint")
    assert "dit_large" in first.seen
