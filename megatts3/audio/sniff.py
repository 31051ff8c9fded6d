"""What a stranger's bytes are, by their first ones; names and content types are never asked."""

from __future__ import annotations

import struct
from typing import Literal

from megatts3.errors import AudioUnreadable

Container = Literal["wav", "flac", "ogg", "mp3", "m4a", "aac", "webm"]

_MAGIC: tuple[tuple[Container, int, bytes], ...] = (
    ("wav", 8, b"WAVE"),  # after RIFF or RF64
    ("flac", 0, b"fLaC"),
    ("ogg", 0, b"OggS"),
    ("m4a", 4, b"ftyp"),
    ("webm", 0, b"\x1a\x45\xdf\xa3"),
)
_UNKNOWN_SIZES = (0, 0x7FFFF000, 0xFFFFFFFF)  # written by tools that stream a wav and cannot seek back


def sniff(data: bytes) -> Container | None:
    """The container, or None where it is none that we know."""
    if data[:3] == b"ID3":
        data = data[_id3_size(data) :]
        if not data:
            return "mp3"
    for container, offset, magic in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return container
    if len(data) >= 2 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        return "mp3" if data[1] & 0x06 else "aac"  # MPEG sync; ADTS has layer 0
    return None


def require_whole(data: bytes, container: Container) -> None:
    """AudioUnreadable where the container itself says that bytes are missing at the end.

    wav and ogg are looked at here, since the decoder takes their stumps without a word;
    it does notice for flac and mp3.
    """
    if container == "wav" and data[:4] == b"RIFF":
        _require_whole_wav(data)
    elif container == "ogg":
        _require_whole_ogg(data)


def _id3_size(data: bytes) -> int:
    if len(data) < 10:
        return len(data)
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _require_whole_wav(data: bytes) -> None:
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        (size,) = struct.unpack_from("<I", data, position + 4)
        if name == b"data":
            present = len(data) - position - 8
            if size not in _UNKNOWN_SIZES and size > present:
                raise AudioUnreadable(f"the file is cut short: {present} of {size} bytes of sound")
            return
        position += 8 + size + size % 2
    raise AudioUnreadable("the wav file holds no sound")


def _require_whole_ogg(data: bytes) -> None:
    position = 0
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            return  # damage in the middle is the decoder's to judge
        if position + 27 > len(data):
            raise AudioUnreadable("the file is cut short")
        segments = data[position + 26]
        body = position + 27 + segments
        position = body + sum(data[position + 27 : body])
    if position > len(data):
        raise AudioUnreadable("the file is cut short")
