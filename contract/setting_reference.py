"""The reference of all settings as Markdown; `python -m contract.setting_reference` makes docs/configuration.md."""

from __future__ import annotations

import sys
from pathlib import Path

from contract.setting_keys import KEYS, Key
from contract.settings import Settings

HEAD = """# Configuration

Two files, `configs/api_config.yaml` and `configs/model_config.yaml`, and environment variables.
`MEGATTS3_*` wins over bare names (`API_PORT`), those over the files, those over the defaults below.  Sizes
may be text (`"100MB"`, `"2GiB"`), lists in variables are JSON or separated by commas.  A misspelt key or
variable is a warning at start that names its nearest neighbour; a value out of range stops the start with
file, key and range.  Secrets come from variables only.

Where two keys set one thing, the one further down wins: `inference_config.batch_size` over
`model.inference.batch_size`, `cache_config.*` over `model.cache.*`.  `storage.dir` moves every folder below
it that is not placed by a variable of its own; `MEGATTS3_LOG_DIR` moves the log file; `MEGATTS3_MODEL_DIR`
is where checkpoints are looked for.  `MEGATTS3_API_CONFIG` and `MEGATTS3_MODEL_CONFIG` name other files.

This page is made by `python -m contract.setting_reference`.

| key | variables | default |
|---|---|---|
"""


def reference() -> str:
    return HEAD + "".join(_row(key) for key in KEYS)


def _row(key: Key) -> str:
    variables = ", ".join(f"`{name}`" for name in (*key.prefixed, *key.bare))
    shown = f"`{key.path}`" if not key.secret else "(variable only)"
    return f"| {shown} | {variables} | {_default(key)} |\n"


def _default(key: Key) -> str:
    value: object = Settings()
    for name in key.target.split("."):
        value = getattr(value, name)
    if value in (None, (), {}):
        return "–"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.as_posix() if isinstance(value, Path) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
