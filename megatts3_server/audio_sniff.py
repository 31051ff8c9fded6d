"""What audio format do these bytes have?  Content decides: known clients label mp3 and m4a as `audio/wav`."""

import filetype

HEAD_BYTES = 8192  # filetype looks no further
_BY_MIME = {
    "audio/x-wav": "wav",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/x-flac": "flac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "video/mp4": "m4a",  # an m4a whose maker wrote a general brand
    "video/quicktime": "m4a",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/amr": "amr",
    "video/webm": "webm",
    "video/x-matroska": "webm",
}


def audio_format(head: bytes) -> str | None:
    """`wav`, `mp3`, `flac`, `m4a`, `ogg` …; None: not audio that we know of."""
    if len(head) < 4:
        return None
    kind = filetype.guess(head[:HEAD_BYTES])
    if kind is not None:
        return _BY_MIME.get(kind.mime)
    return _mpeg_frame(head)


def _mpeg_frame(head: bytes) -> str | None:
    """An MPEG stream without tags starts with a frame: 11 set bits, then version and layer (ISO 11172-3)."""
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    layer, bitrate = head[1] & 0x06, head[2] >> 4
    if layer == 0:
        return "aac" if head[1] & 0xF0 == 0xF0 else None  # ADTS
    return "mp3" if bitrate not in {0x0, 0xF} else None
