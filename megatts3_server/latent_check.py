"""Is this a latent?  Reads a `.npy` file's header and values without numpy, and never unpickles.

A refusal here is immediate and costs the worker nothing.  Whether the latent fits the clip (its frames
against the clip's seconds) needs decoding, and is the worker's to check.
"""

import ast
import math
import re
import struct

from contract.errors import ErrorCode, ServiceError

LATENT_CHANNELS = 32
_MAGIC = b"\x93NUMPY"
_TYPES = {"<f2": "e", "<f4": "f", "<f8": "d"}
_HEADER = re.compile(r"\s*\{.*\}\s*", re.DOTALL)
_MAX_HEADER = 4096  # bytes; numpy's own is 118


def check(data: bytes) -> int:
    """Frames T of a latent of shape (T, 32) or (1, T, 32), float and finite; ServiceError(LATENT_INVALID)."""
    header, body = _split(data)
    shape, descr = header.get("shape"), header.get("descr")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise _invalid("the header has no shape")
    if len(shape) not in {2, 3} or shape[-1] != LATENT_CHANNELS or (len(shape) == 3 and shape[0] != 1):
        raise _invalid(f"shape {shape} is not (T, {LATENT_CHANNELS}) or (1, T, {LATENT_CHANNELS})")
    if descr not in _TYPES:
        raise _invalid(f"dtype {str(descr)[:20]!r} is not little-endian float16, float32 or float64")
    values = _values(body, _TYPES[str(descr)])
    if len(values) != math.prod(shape):
        raise _invalid("the file is shorter or longer than its shape")
    if not all(map(math.isfinite, values)):
        raise _invalid("it holds values that are not finite")
    return int(shape[-2])


def _split(data: bytes) -> tuple[dict[object, object], bytes]:
    if not data.startswith(_MAGIC) or len(data) < 12:
        raise _invalid("it is not a .npy file")
    width = 2 if data[6] == 1 else 4  # the header's length field grew in version 2
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    text = data[start:end].decode("latin-1")
    if end > len(data) or end - start > _MAX_HEADER or not _HEADER.fullmatch(text):
        raise _invalid("its header cannot be read")
    try:
        header = ast.literal_eval(text.strip())  # literals only: nothing of the file is ever run
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _invalid("its header cannot be read") from error
    if not isinstance(header, dict):
        raise _invalid("its header cannot be read")
    return header, data[end:]


def _values(body: bytes, code: str) -> tuple[float, ...]:
    count, rest = divmod(len(body), struct.calcsize(code))
    if rest:
        raise _invalid("the file is shorter or longer than its shape")
    return struct.unpack(f"<{count}{code}", body)


def _invalid(why: str) -> ServiceError:
    return ServiceError(ErrorCode.LATENT_INVALID, f"The supplied latent cannot be used: {why}.")
