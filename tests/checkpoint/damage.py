"""Kinds of damage a checkpoint comes with in real life, each done to one file of a sound one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import yaml
from safetensors.torch import load_file, save_file

from megatts3.checkpoint.files import RELEASE_WEIGHTS, WEIGHTS


@dataclass(frozen=True)
class Damage:
    """file: the one the error must name; key: the tensor or setting; words: what a person must be told."""

    do: Callable
    file: str
    key: str | None
    words: str


ALIGNER = f"aligner_lm/{WEIGHTS}"
DIT = f"diffusion_transformer/{WEIGHTS}"
WQ = "encoder.layers.1.attention.wq.weight"


def _tensors(change):
    def do(path):
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return do


def _cut(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _cut_release(path, *, zipped):
    """The release's form of the same weights, cut at half as a broken download leaves it."""
    tensors = load_file(path.with_name(WEIGHTS))
    torch.save({"state_dict": {"model": tensors}}, path, _use_new_zipfile_serialization=zipped)
    path.with_name(WEIGHTS).unlink()
    _cut(path)


def _config(path, **values):
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


class _Code:
    def __reduce__(self):
        return (print, ("the pickle was run",))


def _code(path):
    path.with_name(WEIGHTS).unlink()
    torch.save({"state_dict": {"model": _Code()}}, path)


def _other_network(path):
    tensors = load_file(path.parents[1] / "duration_lm" / WEIGHTS)
    torch.save({"state_dict": {"dur_model": tensors}}, path)
    path.with_name(WEIGHTS).unlink()


def _nan(tensors):
    tensors[WQ][0, 0] = float("nan")


def _reshape(tensors):
    tensors[WQ] = tensors[WQ][:-1].contiguous()


def _whole_numbers(tensors):
    tensors[WQ] = tensors[WQ].to(torch.int32)


KINDS = {
    "a tensor is missing": Damage(_tensors(lambda t: t.pop(WQ)), DIT, WQ, "found nothing"),
    "a tensor is one too many": Damage(
        _tensors(lambda t: t.update(stranger=torch.zeros(1))), ALIGNER, "stranger", "no such tensor"
    ),
    "a tensor has another shape": Damage(_tensors(_reshape), DIT, WQ, "shape (32, 32), found shape (31, 32)"),
    "a tensor has another kind of number": Damage(_tensors(_whole_numbers), DIT, WQ, "torch.int32"),
    "a tensor holds NaN": Damage(_tensors(_nan), DIT, WQ, "NaN"),
    "safetensors cut at half": Damage(_cut, DIT, None, "cut short"),
    "a zip file cut at half": Damage(
        lambda path: _cut_release(path, zipped=True), f"aligner_lm/{RELEASE_WEIGHTS}", None, "cut short"
    ),
    "a legacy file cut at half": Damage(
        lambda path: _cut_release(path, zipped=False), f"aligner_lm/{RELEASE_WEIGHTS}", None, "cut short"
    ),
    "an empty file": Damage(lambda path: path.write_bytes(b""), ALIGNER, None, "an empty file"),
    "a git-lfs pointer": Damage(
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ALIGNER,
        None,
        "git lfs pull",
    ),
    "a web page": Damage(
        lambda path: path.write_text("<!DOCTYPE html><title>404</title>"), ALIGNER, None, "a web page"
    ),
    "a pickle with code in it": Damage(_code, f"aligner_lm/{RELEASE_WEIGHTS}", None, "run code"),
    "the file of another network": Damage(
        _other_network, f"wavvae/{RELEASE_WEIGHTS}", "state_dict.model_gen", "another network"
    ),
    "no weights file": Damage(lambda path: path.unlink(), ALIGNER, None, "no weights file"),
    "sizes of another checkpoint": Damage(
        lambda path: _config(path, n_layers=3),
        "diffusion_transformer/config.yaml",
        "n_layers",
        "2, as the tensors show",
    ),
    "a misspelt size": Damage(
        lambda path: _config(path, n_layer=2), "diffusion_transformer/config.yaml", "n_layer", "n_layers"
    ),
    "a config that is no YAML": Damage(
        lambda path: path.write_text("a: ["), "wavvae/config.yaml", None, "expected YAML"
    ),
    "a folder is missing": Damage(
        lambda path: path.parent.rename(path.parents[1] / "elsewhere"), ALIGNER, None, "folder aligner_lm/"
    ),
}
