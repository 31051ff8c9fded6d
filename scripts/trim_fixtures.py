"""Make tests/golden/ from a folder of full numeric fixtures: the same values, fewer of them.

    python scripts/trim_fixtures.py <fixtures folder>     make them anew, from sources of the recorded hashes
    python scripts/trim_fixtures.py --check               compare what is there with the recorded hashes

SOURCES.json beside them records, per file, the sha256 of the source and of what was made of it. With --record
the hashes are taken from what is found, for a new version of the fixtures.
"""

import argparse
import hashlib
import json
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
SOURCES = "SOURCES.json"

LEFT_OUT = {"wavvae/decode_1.safetensors", "wavvae/encode_1.safetensors"}
DROPPED = {  # file pattern → tensors that say what others say too
    "dit/case_0.safetensors": ["mid.x_ling_expanded", "mid.ling_pre_net.0", "mid.*.1", "step0.encoder.*"],
    "duration_lm/weights.safetensors": ["char_encoder.*"],
    "aligner/case_1.safetensors": ["mid.*"],
    "e2e/e2e.safetensors": ["seg*.decoded_full", "seg[12].wav_normed"],
}


def trim(source: Path, target: Path, patterns: list[str]) -> None:
    """Copy a file; of a safetensors file, without the tensors that match a pattern."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not patterns:
        shutil.copyfile(source, target)
        return
    data = source.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    kept = {"__metadata__": dict(sorted(header.pop("__metadata__", {}).items()))}
    body = b""
    # The library writes metadata in any order; equal sources should make equal files.
    for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if not any(fnmatch(key, pattern) for pattern in patterns):
            tensor = data[slice(*(start + offset for offset in entry["data_offsets"]))]
            kept[key] = entry | {"data_offsets": [len(body), len(body) + len(tensor)]}
            body += tensor
    text = json.dumps(kept, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(len(text).to_bytes(8, "little") + text + body)


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differences(recorded: dict[str, dict[str, str]]) -> list[str]:
    """What of tests/golden/ is absent or not as recorded."""
    return [
        name
        for name, hashes in recorded.items()
        if not (GOLDEN / name).is_file() or sha256_of(GOLDEN / name) != hashes["sha256"]
    ]


def make(fixtures: Path, recorded: dict[str, dict[str, str]], *, record: bool) -> dict[str, dict[str, str]]:
    """Write all files; SystemExit where a source is not the recorded one."""
    hashes = {}
    for source in sorted(p for p in fixtures.rglob("*") if p.suffix in {".json", ".safetensors"}):
        name = source.relative_to(fixtures).as_posix()
        if name in LEFT_OUT:
            continue
        found = sha256_of(source)
        if not record and recorded.get(name, {}).get("source_sha256") != found:
            sys.exit(f"{source} is not the file these were made from; --record accepts it")
        trim(source, GOLDEN / name, DROPPED.get(name, []))
        hashes[name] = {"source_sha256": found, "sha256": sha256_of(GOLDEN / name)}
    return hashes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", type=Path, nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--record", action="store_true")
    chosen = parser.parse_args()
    path = GOLDEN / SOURCES
    recorded = json.loads(path.read_text()) if path.is_file() else {}
    if chosen.fixtures is not None:
        hashes = make(chosen.fixtures, recorded, record=chosen.record)
        if chosen.record:
            path.write_text(json.dumps(hashes, indent=1) + "\n")
            recorded = hashes
    elif not chosen.check:
        parser.error("name a folder of fixtures, or --check")
    different = differences(recorded)
    if different:
        sys.exit(f"not as recorded: {', '.join(different)}")
    print(f"{len(recorded)} files as recorded")


if __name__ == "__main__":
    main()
