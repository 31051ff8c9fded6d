"""The stage makes its own folder: a second one, as mini's, is set up within the first's."""

from pathlib import Path

from scripts.chaos.stage import Cast, Stage


def test_a_stage_may_be_set_up_where_nothing_is_yet(tmp_path: Path):
    stage = Stage(tmp_path / "run" / "mini", Cast(workers=1))
    stage.nursery.close()

    assert stage.disk.is_dir()
