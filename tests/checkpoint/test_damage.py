"""Each kind of damage is told apart, with file, key and what to do; none lets a worker start."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from megatts3.checkpoint import load_networks
from megatts3.errors import CheckpointError
from scripts.make_tiny_checkpoint import make_tiny_checkpoint
from tests.checkpoint.damage import KINDS
from worker.runtime import load_runtime

EX_CONFIG = 78  # starting again will not help
ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(tmp_path):
    return make_tiny_checkpoint(tmp_path / "tiny")


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named_with_its_file_and_key_and_a_remedy(tiny, kind):
    damage = KINDS[kind]
    damage.do(tiny / damage.file)

    with pytest.raises(CheckpointError) as refused:
        load_networks(tiny)

    error = refused.value
    whole_folder = kind in {"no weights file", "a folder is missing"}
    assert Path(error.file) in ((tiny / damage.file).parents if whole_folder else [tiny / damage.file])
    assert error.key == damage.key
    assert damage.words in str(error)
    assert error.remedy
    assert len(str(error)) < 600


def test_no_two_kinds_of_damage_are_told_in_the_same_words(tmp_path):
    told = {}
    for number, (kind, damage) in enumerate(KINDS.items()):
        checkpoint = make_tiny_checkpoint(tmp_path / str(number))
        damage.do(checkpoint / damage.file)
        with pytest.raises(CheckpointError) as refused:
            load_networks(checkpoint)
        told[kind] = (refused.value.key, str(refused.value.expected), str(refused.value.found), refused.value.remedy)
    alike = {"safetensors cut at half", "a zip file cut at half", "a legacy file cut at half"}  # one remedy
    assert len({told[kind] for kind in told if kind not in alike}) == len(KINDS) - len(alike)


@pytest.mark.parametrize("kind", KINDS)
def test_no_worker_starts_on_a_damaged_checkpoint(tiny, settings, kind):
    damage = KINDS[kind]
    damage.do(tiny / damage.file)
    damaged = replace(settings, model=replace(settings.model, checkpoint_path=tiny, device="cpu"))

    with pytest.raises(CheckpointError):
        load_runtime(damaged, None, name="w", send=lambda *_: None)


def test_a_worker_process_ends_with_the_status_that_says_do_not_retry(tiny, tmp_path):
    damage = KINDS["a tensor holds NaN"]
    damage.do(tiny / damage.file)
    environ = {
        "PATH": os.environ["PATH"],
        "MEGATTS3_CHECKPOINT_PATH": str(tiny),
        "MEGATTS3_STORAGE_DIR": str(tmp_path / "storage"),
        "MEGATTS3_LOG_DIR": str(tmp_path / "logs"),
    }
    program = (
        "import worker.app; from celery.signals import worker_init; "
        "worker_init.send(type('Consumer', (), {'hostname': 'w0@here'})())"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=170, check=False
    )

    assert ended.returncode == EX_CONFIG
    assert damage.key in ended.stderr
    assert "worker_cannot_start" in ended.stderr
