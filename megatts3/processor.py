"""What this machine's processor is and can do, as Linux tells it."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def multiplies_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether its own units multiply bfloat16, which is then about twice as fast as float32.  False where not told."""
    return bool({"avx512_bf16", "amx_bf16"} & set(_read(cpuinfo).split()))


def name(cpuinfo: Path = CPUINFO) -> str:
    """Of the processor; of its kind where the system does not tell more."""
    for line in _read(cpuinfo).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _read(cpuinfo: Path) -> str:
    try:
        return cpuinfo.read_text(encoding="utf-8")
    except OSError:  # not Linux
        return ""
