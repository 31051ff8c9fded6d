"""Content hashes: which requests are the same request, which audio is the same audio.  Pure functions.

Bump SCHEMA when the same request would sound different for a reason that is in none of the inputs.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from contract.schemas import SpeechRequest

SCHEMA = 2
UPLOADED = "upload"  # voice_id of a request that brings its own reference audio
_HOW_IT_IS_DELIVERED = ("cache", "strict", "stream", "stream_format", "quality")  # quality is in time_step
_SHAPES_SOUND = tuple(item.name for item in fields(SpeechRequest) if item.name not in _HOW_IT_IS_DELIVERED)
_FORM = ("response_format", "sample_rate")
_SEED_BITS = 32  # exact in every JSON reader

# Seconds a character lasts at speed 1.0, measured on read speech; for queue estimates only.
_SECONDS_WIDE = 0.22  # a Chinese character
_SECONDS_LETTER = 0.065
_SECONDS_DIGIT = 0.3
_SECONDS_PAUSE = 0.25  # a punctuation mark


def voice_fingerprint(clip: bytes | None, latent: bytes | None = None) -> str:
    """Of a recording: its bytes and those of a supplied latent."""
    return _digest({"clip": _hash(clip), "latent": _hash(latent)})


def with_seed(request: SpeechRequest, *, voice: str) -> SpeechRequest:
    """The request with a seed: its own, else one derived from who speaks and how.

    voice: fingerprint of the voice.  The form of the audio has no part in it: mp3 and wav are one speech.  Nor has
    the text: when a sentence of it is changed, the others are to sound as they did.
    """
    if request.seed is not None:
        return request
    content = {k: v for k, v in _content(request).items() if k not in {*_FORM, "seed", "text"}}
    seed = int(_digest({**content, "voice": voice}), 16) >> (256 - _SEED_BITS)
    return replace(request, seed=seed)


def audio_fingerprint(request: SpeechRequest, *, voice: str, revision: str) -> str:
    """The cache key of a finished answer.

    request: with its seed, see with_seed;  voice: fingerprint of the voice;  revision: of the checkpoint.
    The voice's id is part of it, so that deleting a voice erases exactly what was made with it.
    """
    if request.seed is None:
        raise ValueError("a request without a seed is not yet one certain sound")
    return _digest({**_content(request), "voice": voice, "revision": revision})


def segment_fingerprint(
    phones: Sequence[int],
    tones: Sequence[int],
    request: SpeechRequest,
    *,
    voice: str,
    revision: str,
    index: int,
    is_last: bool,
) -> str:
    """Of one segment's waveform, whatever text is around it and whatever form the answer has.

    request: with its seed;  voice: fingerprint of the prompt;  revision: of the checkpoint.
    index, is_last: a segment's noise depends on its place, and its edges on whether it is the first or the last.
    """
    if request.seed is None:
        raise ValueError("a request without a seed is not yet one certain sound")
    content = {k: v for k, v in _content(request).items() if k not in {*_FORM, "text"}}
    spoken = {"phones": list(phones), "tones": list(tones), "index": index, "is_last": is_last}
    return _digest({**content, **spoken, "voice": voice, "revision": revision, "part": "segment"})


def body_hash(body: Mapping[str, object]) -> str:
    """Of a request body, to tell whether an Idempotency-Key came back with another one."""
    return _digest({"body": dict(body)})


def estimate_audio_s(text: str, *, speed: float = 1.0) -> float:
    """Rough seconds of audio a text will make; milliseconds to compute for a book.  The plan knows better."""
    seconds = sum(count * _seconds(character) for character, count in sorted(Counter(text).items()))
    return round(max(seconds, _SECONDS_PAUSE) / speed, 3)


def _seconds(character: str) -> float:
    kind = unicodedata.category(character)[0]
    if kind == "L":
        return _SECONDS_WIDE if unicodedata.east_asian_width(character) in "WF" else _SECONDS_LETTER
    return {"N": _SECONDS_DIGIT, "P": _SECONDS_PAUSE}.get(kind, 0.0)


def _content(request: SpeechRequest) -> dict[str, object]:
    return {name: getattr(request, name) for name in _SHAPES_SOUND}


def _digest(content: Mapping[str, object]) -> str:
    """Hex SHA-256 of canonical JSON: keys sorted, numbers of one value written one way."""
    plain = json.dumps(
        {"schema": SCHEMA, **content}, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str
    )
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _hash(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
