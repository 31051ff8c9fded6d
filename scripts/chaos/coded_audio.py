"""Sound that says whose it is: a code of levels in the samples, which survives WAV and a cross-fade.

A segment is 0.2 s of silence, the code, 0.2 s of silence; cross-fading touches the silence alone.  The code is a
preamble, then 96 bits: request number (32), part (16), parts (16), voice (16), and a CRC (16) over those.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 24_000
SAMPLES_A_BIT = 48  # 2 ms: 0.22 s a code
LEVEL = 0.5
SILENCE = int(0.2 * SAMPLE_RATE)  # more than the overlap of joined segments, 0.16 s
PREAMBLE = (1, 1, 1, 0, 0, 1, 0, 1)
FIELDS = (32, 16, 16, 16)  # bits of number, part, parts, voice
CRC_BITS = 16


@dataclass(frozen=True)
class Coded:
    """What one segment's sound says: part `part` (from 1) of `parts` of request `number`, in voice `voice`."""

    number: int
    part: int
    parts: int
    voice: int


def samples_of(code: Coded) -> NDArray[np.float32]:
    """The segment's sound, (L,) at 24 kHz."""
    values = (code.number, code.part, code.parts, code.voice)
    bits = [bit for value, width in zip(values, FIELDS, strict=True) for bit in _bits(value, width)]
    bits = [*PREAMBLE, *bits, *_bits(_crc(bits), CRC_BITS)]
    levels = np.array([LEVEL if bit else -LEVEL for bit in bits], dtype=np.float32)
    silence = np.zeros(SILENCE, dtype=np.float32)
    return np.concatenate([silence, np.repeat(levels, SAMPLES_A_BIT), silence])


def codes_in(samples: NDArray[np.floating]) -> list[Coded]:
    """Every code in a sound, in order.  ValueError where a code is there and cannot be read."""
    loud = np.abs(samples) > LEVEL / 2
    length = (len(PREAMBLE) + sum(FIELDS) + CRC_BITS) * SAMPLES_A_BIT
    found, at = [], 0
    while True:
        rest = np.flatnonzero(loud[at:])
        if len(rest) == 0:
            return found
        begin = at + int(rest[0])
        if begin + length > len(samples):
            raise ValueError(f"a code is cut off at sample {begin}")
        middles = samples[begin + SAMPLES_A_BIT // 2 : begin + length : SAMPLES_A_BIT]
        found.append(_read([int(level > 0) for level in middles], begin))
        at = begin + length


def _read(bits: list[int], begin: int) -> Coded:
    preamble, body, crc = bits[: len(PREAMBLE)], bits[len(PREAMBLE) : -CRC_BITS], bits[-CRC_BITS:]
    if tuple(preamble) != PREAMBLE or _number(crc) != _crc(body):
        raise ValueError(f"the code at sample {begin} cannot be read")
    values = []
    for width in FIELDS:
        values.append(_number(body[:width]))
        body = body[width:]
    return Coded(*values)


def _bits(value: int, width: int) -> list[int]:
    return [value >> shift & 1 for shift in reversed(range(width))]


def _number(bits: list[int]) -> int:
    return int("".join(map(str, bits)), 2)


def _crc(bits: list[int]) -> int:
    return zlib.crc32(bytes(bits)) & 0xFFFF
