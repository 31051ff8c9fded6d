"""A read-only table of short strings in one sorted block of bytes: 120 000 words in 2 MiB.

A dictionary of Python strings would take ten times the memory and the loading time.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from importlib import resources


class WordTable:
    """Keys and values of ASCII without blanks, found by binary search."""

    def __init__(self, block: bytes) -> None:
        """`block`: lines `key value`, sorted by their bytes, each ended by a line feed."""
        self._block = block

    @staticmethod
    def pack(entries: Mapping[str, str]) -> bytes:
        """The compressed form that `load` reads."""
        lines = sorted(f"{key} {value}\n".encode("ascii") for key, value in entries.items())
        return lzma.compress(b"".join(lines), preset=9 | lzma.PRESET_EXTREME)

    @classmethod
    def load(cls, name: str) -> WordTable:
        """A table of `megatts3/text/data`."""
        return cls(lzma.decompress(resources.files(__package__).joinpath("data", name).read_bytes()))

    def items(self) -> Iterator[tuple[str, str]]:
        for line in self._block.decode("ascii").splitlines():
            key, _, value = line.partition(" ")
            yield key, value

    def get(self, key: str) -> str | None:
        block = self._block
        sought = key.encode("ascii", "replace") + b" "
        low, high = 0, len(block)  # both are always starts of lines
        while low < high:
            start = block.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = block.index(b"\n", start) + 1
            if block.startswith(sought, start):
                return block[start + len(sought) : end - 1].decode("ascii")
            if block[start:end] < sought:
                low = end
            else:
                high = start
        return None
