"""One real service for all tests here: API, Redis and worker as processes, started by the launcher.

The checkpoint is tiny and random: what it says is noise, that it is said, stored and answered is the point.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from live_service import Service, clip, running

from scripts.make_tiny_checkpoint import make_tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with two voices."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    make_tiny_checkpoint(folder)
    voices = folder / "voices"
    voices.mkdir(exist_ok=True)
    (voices / "a.wav").write_bytes(clip(200.0))
    (voices / "b.wav").write_bytes(clip(300.0))
    entries = [
        {"id": "default", "name": "Anna", "clip": "a.wav", "language": "en"},
        {"id": "voice_001", "name": "小明", "clip": "b.wav", "language": "zh"},
    ]
    (voices / "voices.yaml").write_text(yaml.safe_dump({"voices": entries}, allow_unicode=True))
    return folder


@pytest.fixture(scope="session")
def service(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`megatts3 up`, ready."""
    options = ["--workers", "1"]
    with running(tmp_path_factory.mktemp("service"), checkpoint, options, {"MEGATTS3_METRICS_PORT": "0"}) as started:
        yield started
