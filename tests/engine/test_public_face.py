"""The library as a newcomer meets it: Synthesizer, and the command line."""

import subprocess
import sys

import numpy as np
import pytest

from megatts3 import api
from megatts3.__main__ import main
from megatts3.api import SamplingParams, Synthesizer, decode, encode
from megatts3.errors import CheckpointError, LatentRequired, TextEmpty
from scripts.make_tiny_checkpoint import make_tiny_checkpoint

FEW = SamplingParams(steps=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def clip(tmp_path, recording):
    path = tmp_path / "参考 reference.flac"
    path.write_bytes(encode(recording(), "flac"))
    return path


def test_everything_promised_is_there():
    for name in api.__all__:
        assert hasattr(api, name)


def test_a_synthesizer_speaks_from_a_path_or_from_bytes(checkpoint, clip):
    speaker = Synthesizer.load(checkpoint)
    voice = speaker.voice(clip)
    spoken = speaker.say("Hello there. 你好。", voice, FEW)

    assert speaker.voice(clip.read_bytes()).fingerprint == voice.fingerprint
    assert spoken.duration_s == pytest.approx(speaker.plan("Hello there. 你好。", voice, FEW).predicted_s, abs=1e-3)
    assert spoken.sample_rate == 24_000


def test_a_synthesizer_takes_a_latent_file(tmp_path, clip, checkpoint):
    without = Synthesizer.load(make_tiny_checkpoint(tmp_path / "decoder-only", encoder=False))
    with pytest.raises(LatentRequired):
        without.voice(clip)
    latent = np.random.default_rng(0).standard_normal((1, 87, 32)).astype(np.float32)
    np.save(tmp_path / "latent.npy", latent)

    from_file = without.voice(clip, latent=tmp_path / "latent.npy")
    assert from_file.fingerprint == without.voice(clip, latent=latent).fingerprint


def test_what_cannot_be_said_or_loaded_has_its_own_error(checkpoint, clip, tmp_path):
    speaker = Synthesizer.load(checkpoint)
    with pytest.raises(TextEmpty):
        speaker.say("  ", speaker.voice(clip))
    with pytest.raises(CheckpointError):
        Synthesizer.load(tmp_path)


def arguments(checkpoint, clip, out, *more, text="Hello."):
    return [
        "--checkpoint",
        str(checkpoint),
        "--voice",
        str(clip),
        "--text",
        text,
        "--out",
        str(out),
        "--steps",
        "2",
        *more,
    ]


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac", "opus"])
def test_the_command_line_writes_the_format_its_name_asks_for(checkpoint, clip, tmp_path, capsys, ending):
    out = tmp_path / f"out.{ending}"

    assert main(arguments(checkpoint, clip, out, "--sample-rate", "16000")) == 0
    assert decode(out.read_bytes()).sample_rate == 16_000
    assert "s of speech" in capsys.readouterr().out


def test_the_command_line_tells_apart_whose_fault_it_is(checkpoint, clip, tmp_path, capsys):
    out = tmp_path / "out.wav"
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"not audio")

    assert main(arguments(tmp_path / "none", clip, out)) == 1
    assert main(arguments(checkpoint, tmp_path / "none.wav", out)) == 3
    assert main(arguments(checkpoint, noise, out)) == 3
    assert main(arguments(checkpoint, clip, out, text=" ")) == 3
    assert main(arguments(checkpoint, clip, out, "--speed", "9")) == 3
    for wrong in (["--out", "out.xyz"], ["--sample-rate", "5"], ["--steps", "many"]):
        with pytest.raises(SystemExit) as ended:
            main([*arguments(checkpoint, clip, out), *wrong])
        assert ended.value.code == 2
    assert not out.exists()
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert "speed = 9.0; allowed 0.25 … 4.0" in errors


@pytest.mark.slow
def test_the_module_can_be_run(checkpoint, clip, tmp_path):
    command = [sys.executable, "-m", "megatts3", *arguments(checkpoint, clip, tmp_path / "out.wav")]

    assert subprocess.run(command, check=False, timeout=120).returncode == 0
