"""The recipe for a GPU, in miniature on the CPU: what it makes does not speak, but the chain holds."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from megatts3.checkpoint import load_networks, verify_files
from megatts3.training.recipe import load_recipe

ROOT = Path(__file__).parents[2]
BUDGET_MINUTES = 25


def test_the_gpu_recipe_fits_its_budget():
    recipe = load_recipe(ROOT / "configs/train/mini_gpu.yaml")
    longest = recipe.wavvae_loop.minutes + max(recipe.decoder_loop.minutes, recipe.dit_loop.minutes)
    beside = recipe.aligner_loop.minutes + recipe.duration_lm_loop.minutes
    assert max(longest, beside) <= BUDGET_MINUTES - 6  # corpus, latents, export and evaluation take the rest


def test_the_gpu_recipe_makes_the_same_checkpoint_as_the_cpu_recipe():
    gpu, cpu = (load_recipe(ROOT / f"configs/train/{name}.yaml") for name in ("mini_gpu", "mini"))
    assert (gpu.name, gpu.architecture, gpu.corpus) == (cpu.name, cpu.architecture, cpu.corpus)


def test_an_unknown_argument_shows_how_it_is_used(tmp_path):
    command = ["sh", ROOT / "scripts/train_on_gpu.sh", "--nonsense"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "--wheels DIR" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not (shutil.which("flite") and shutil.which("espeak-ng")), reason="the teachers are not installed")
def test_the_whole_chain_runs_in_miniature_and_goes_on_after_an_interruption(tmp_path):
    command = ["sh", ROOT / "scripts/train_on_gpu.sh", "--trial", "--out", tmp_path]
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(command, check=True, env=environment)
    networks = load_networks(tmp_path / "checkpoint")
    assert networks.capabilities.name == "mini"
    assert networks.capabilities.encoder
    verify_files(tmp_path / "checkpoint")
    figures = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text("utf-8"))["figures"]
    assert len(figures) > 8
    (tmp_path / "done" / "export").unlink()
    again = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert "export" in again.stdout
    assert "wavvae" not in again.stdout
