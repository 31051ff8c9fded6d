import hashlib
import json
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def test_every_golden_file_is_the_one_on_record_and_none_is_unrecorded():
    recorded = json.loads((GOLDEN / "SOURCES.json").read_text("utf-8"))
    found = {p.relative_to(GOLDEN).as_posix() for p in GOLDEN.rglob("*") if p.parent != GOLDEN and p.is_file()}
    assert found == set(recorded)
    for name, hashes in recorded.items():
        assert hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() == hashes["sha256"], name
