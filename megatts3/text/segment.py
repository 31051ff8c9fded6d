"""Text to segments short enough for one pass: the two chunkers of the reference, and a guard of our own.

The reference never cuts a piece without marks, however long it is.  `segments` cuts what is left much too
long at word borders, so that every segment fits one pass of the networks.  And it lets a text of several segments
begin with a short one, so that something can be heard while the rest is still being made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise

from megatts3.text.language import Language

ENGLISH_LIMIT_BYTES = 130
CHINESE_LIMIT_CHARACTERS = 60
LOOK_AHEAD = 30
SHORT = (0.12, 0.5)  # of its limit: how long the first of several segments is at least and should be at most
OVERLONG = 1.5  # a segment this many times over its limit is cut; below, a whole phrase is worth more

# A mark that is heard as a pause, with what closes behind it and the blanks before what follows.
_PAUSE = re.compile(r"(?:(?P<sentence>[.!?](?=\s)|[。！？])|[;:,](?=\s)|[；：，])\s*")
_PIECE_BORDER = re.compile(r"(?<=[;:,.!?])\s+|(?<=[；：，。！？])")
_MARK_CLASSES = (frozenset("。.！!？?"), frozenset("，,；;："), frozenset("、…—-~～"))
_WIDE_MARKS = str.maketrans(".,!?;:", "。，！？；：")
# A Latin letter takes about as long to say as this share of a Han character.
_LATIN_WEIGHT = CHINESE_LIMIT_CHARACTERS / ENGLISH_LIMIT_BYTES


def segments(text: str, language: Language) -> list[str]:
    """Segments of normalised text: by the language's chunker, the first of several short, none much over its limit.

    Joined they are the text, blanks and all.
    """
    found = _chunks(text, language)
    if len(found) > 1 and (cut := _first_pause(text, len(found[0]), language)):
        found = [text[:cut], *_chunks(text[cut:], language)]
    return found


def _chunks(text: str, language: Language) -> list[str]:
    """What the language's chunker makes of the text; where that one drops blanks, they are kept."""
    if language == "en":
        limit, chunks = ENGLISH_LIMIT_BYTES, chunk_english(text)
    else:
        limit, chunks = CHINESE_LIMIT_CHARACTERS, chunk_chinese(text)
        text = text.translate(_WIDE_MARKS)
    return list(_slices(text, [part for chunk in chunks for part in _cut_overlong(chunk, limit)]))


def _slices(text: str, parts: list[str]) -> Iterator[str]:
    """The stretches of the text that the parts were made of: each ends where the next begins."""
    visible = [position for position, character in enumerate(text) if not character.isspace()]
    counts = list(accumulate(sum(not character.isspace() for character in part) for part in parts))[:-1]
    borders = [0, *(visible[count] for count in counts if count < len(visible)), len(text)]
    return (text[start:end] for start, end in pairwise(borders) if start < end)


def _first_pause(text: str, end: int, language: Language) -> int:
    """Where a short first segment ends, 0 where none can: after a sentence, else after a clause, the sooner the better.

    A segment's end is heard as a pause, so nothing is cut where no mark is.
    """
    limit = ENGLISH_LIMIT_BYTES if language == "en" else CHINESE_LIMIT_CHARACTERS
    least, most = (limit * share for share in SHORT)
    sentences: list[tuple[float, int]] = []
    clauses: list[tuple[float, int]] = []
    for mark in _PAUSE.finditer(text, 0, end):
        if (size := _size(text[: mark.end()], limit)) >= least and mark.end() < end:
            (sentences if mark["sentence"] else clauses).append((size, mark.end()))
    soon = [[cut for size, cut in cuts if size <= most] for cuts in (sentences, clauses)]
    late = [cut for _, cut in (*sentences, *clauses)]
    return next((cuts[0] for cuts in soon if cuts), min(late, default=0))


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
