"""Text to segments short enough for one pass: the two chunkers of the reference, and a guard of our own.

The reference never cuts a piece without marks, however long it is.  `segments` cuts what is left much too
long at word borders, so that every segment fits one pass of the networks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from megatts3.text.language import Language

ENGLISH_LIMIT_BYTES = 130
CHINESE_LIMIT_CHARACTERS = 60
LOOK_AHEAD = 30
OVERLONG = 1.5  # a segment this many times over its limit is cut; below, a whole phrase is worth more

_PIECE_BORDER = re.compile(r"(?<=[;:,.!?])\s+|(?<=[；：，。！？])")
_MARK_CLASSES = (frozenset("。.！!？?"), frozenset("，,；;："), frozenset("、…—-~～"))
_WIDE_MARKS = str.maketrans(".,!?;:", "。，！？；：")
# A Latin letter takes about as long to say as this share of a Han character.
_LATIN_WEIGHT = CHINESE_LIMIT_CHARACTERS / ENGLISH_LIMIT_BYTES


def segments(text: str, language: Language) -> list[str]:
    """Segments of normalised text by the language's chunker, none much longer than its limit."""
    if language == "en":
        return [part for chunk in chunk_english(text) for part in _cut_overlong(chunk, ENGLISH_LIMIT_BYTES)]
    return [part for chunk in chunk_chinese(text) for part in _cut_overlong(chunk, CHINESE_LIMIT_CHARACTERS)]


def chunk_english(text: str, limit_bytes: int = ENGLISH_LIMIT_BYTES) -> list[str]:
    """The reference's English chunker: pieces between marks, filled up to `limit_bytes` of UTF-8."""
    chunks: list[str] = []
    current = ""
    for piece in _PIECE_BORDER.split(text):
        padded = piece + " " if piece and len(piece[-1].encode()) == 1 else piece
        if len(current.encode()) + len(piece.encode()) <= limit_bytes:
            current += padded
            continue
        if current:
            chunks.append(current.strip())
        current = padded
    return [*chunks, current.strip()] if current else chunks


def chunk_chinese(text: str, limit: int = CHINESE_LIMIT_CHARACTERS, look_ahead: int = LOOK_AHEAD) -> list[str]:
    """The reference's Chinese chunker: at `limit` Han characters, to the best mark ahead or behind."""
    chunks: list[str] = []
    current = ""
    count = 0  # Han in `current`
    i = 0
    while i < len(text):
        current += text[i]
        count += _is_counted(text[i])
        if count >= limit:
            ahead, kept = _cut_position(text, i, current, look_ahead)
            chunks.append(current[: len(current) - kept] + text[i + 1 : i + 1 + ahead])
            current = current[len(current) - kept :] if kept else ""
            count = sum(map(_is_counted, current))
            i += ahead
        i += 1
    if current:
        chunks.append(current)
    return [chunk.translate(_WIDE_MARKS) for chunk in chunks]


def _is_counted(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _cut_position(text: str, i: int, current: str, look_ahead: int) -> tuple[int, int]:
    """How many characters beyond `i` join the chunk, and how many of its last stay behind."""
    for marks in _MARK_CLASSES:
        for ahead in range(1, min(look_ahead, len(text) - i)):
            if text[i + ahead] in marks:
                return ahead, 0
        for kept, character in enumerate(reversed(current)):
            if character in marks:
                return 0, kept
    return 0, 0


def _cut_overlong(chunk: str, limit: int) -> Iterator[str]:
    """The chunk, or parts of at most `limit` cut between words, about equally long."""
    size = _size(chunk, limit)
    if size <= limit * OVERLONG:
        yield chunk
        return
    target = size / -(-size // limit)
    part, done = "", 0.0  # what is gathered; how much of the chunk is given out
    for word in _words(chunk, limit):
        gathered, more = _size(part, limit), _size(word, limit)
        # the end of the parts so far should lie near a multiple of the target
        wanted = target - done % target if done % target < target / 2 else 2 * target - done % target
        if part and (gathered + more / 2 > wanted or gathered + more > limit):
            yield part.strip()
            part, done = "", done + gathered
        part += word
    if part.strip():
        yield part.strip()


def _size(text: str, limit: int) -> float:
    """Length as the limit counts it: bytes for English; for Chinese Latin letters count less than Han."""
    if limit == ENGLISH_LIMIT_BYTES:
        return len(text.encode())
    return sum(_LATIN_WEIGHT if character.isascii() else 1.0 for character in text)


def _words(text: str, limit: int) -> Iterator[str]:
    """Latin words with what follows them, single Han; a word longer than the limit in pieces."""
    for match in re.finditer(r"[!-~]+\s*|.\s*", text, re.DOTALL):
        for start in range(0, len(match[0]), limit):
            yield match[0][start : start + limit]
