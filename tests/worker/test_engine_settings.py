"""What the settings file says of the engine is what the engine is told."""

import contextlib
from dataclasses import replace

from scripts.make_tiny_checkpoint import make_tiny_checkpoint
from worker import runtime
from worker.runtime import load_runtime


def test_the_settings_of_the_model_reach_the_engine(settings, tmp_path, monkeypatch):
    told = []

    class Stop(Exception):
        pass

    def load(checkpoint, config):
        told.append((checkpoint, config))
        raise Stop

    monkeypatch.setattr(runtime.Engine, "load", load)
    checkpoint = make_tiny_checkpoint(tmp_path / "tiny")
    wanted = replace(
        settings.model, checkpoint_path=checkpoint, device="cpu", pronunciation="dictionary", batch_size=3, threads=1
    )
    with contextlib.suppress(Stop):
        load_runtime(replace(settings, model=wanted), None, name="w", send=lambda *_: None)

    ((found, config),) = told
    assert found == checkpoint
    assert (config.pronunciation, config.max_rows, config.threads, config.device) == ("dictionary", 3, 1, "cpu")
