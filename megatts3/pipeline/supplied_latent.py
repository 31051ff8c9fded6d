"""A prompt latent that the user brings as `.npy`: read without trust, then held against its audio."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

import numpy as np

from megatts3.errors import LatentInvalid
from megatts3.rates import FRAMES_PER_LATENT, LATENT_CHANNELS, LATENT_RATE, LATENTS_MULTIPLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 1_000_000
TAIL_S = 0.5  # the half second of zeros behind every prompt is in the latent, too
TOLERANCE_FRAMES = 2  # between T and what the audio's length says
MAX_MAGNITUDE = 1e4  # real latents stay within tens
MAX_HEADER_BYTES = 4_096

_MAGIC = b"\x93NUMPY"
_KINDS = ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8")


def parse_latent(data: bytes) -> NDArray[np.float32]:
    """(T, 32) from the bytes of a `.npy` file of shape (1, T, 32) or (T, 32).

    Raises LatentInvalid.  The format is read here rather than by numpy: nothing can be unpickled,
    and a header that promises more than the file holds takes no memory.
    """
    if len(data) > MAX_BYTES:
        raise LatentInvalid("the file is too large", f"at most {MAX_BYTES} bytes", f"{len(data)} bytes")
    header, body = _split(data)
    kind, shape, is_fortran = header.get("descr"), header.get("shape"), header.get("fortran_order")
    if kind not in _KINDS:
        raise LatentInvalid("its values are not floating-point numbers", "float32", str(kind)[:20])
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise LatentInvalid("the bytes are no .npy file")
    _require_shape(shape)
    dtype = np.dtype(str(kind))
    if len(body) != math.prod(shape) * dtype.itemsize:
        raise LatentInvalid("the file is cut short or padded", math.prod(shape) * dtype.itemsize, len(body))
    return check_latent(np.frombuffer(body, dtype).reshape(shape, order="F" if is_fortran else "C"))


def _split(data: bytes) -> tuple[dict[object, object], bytes]:
    """Header and values of a `.npy` file: magic, version, header's length, header, values."""
    major = data[6] if data.startswith(_MAGIC) and len(data) > 10 else 0
    width = {1: 2, 2: 4, 3: 4}.get(major, 0)
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    if width == 0 or end > len(data) or end - start > MAX_HEADER_BYTES:
        raise LatentInvalid("the bytes are no .npy file")
    try:
        header = ast.literal_eval(data[start:end].decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise LatentInvalid("the bytes are no .npy file") from error
    if not isinstance(header, dict):
        raise LatentInvalid("the bytes are no .npy file")
    return header, data[end:]


def check_latent(latent: NDArray[np.generic]) -> NDArray[np.float32]:
    """The array as (T, 32) float32; LatentInvalid where shape, kind or values are wrong."""
    _require_shape(latent.shape)
    if latent.dtype.kind != "f":
        raise LatentInvalid("its values are not floating-point numbers", "float32", str(latent.dtype))
    flat = latent.reshape(-1, LATENT_CHANNELS)
    if not np.isfinite(flat).all() or np.abs(flat).max() > MAX_MAGNITUDE:
        raise LatentInvalid("it holds values that are not finite or far too large")
    return np.ascontiguousarray(flat, dtype=np.float32)


def require_length(latent: NDArray[np.float32], duration_s: float) -> None:
    """LatentInvalid where T is not that of audio of `duration_s`, before any trimming."""
    expected = math.floor(LATENT_RATE * (duration_s + TAIL_S))
    if abs(len(latent) - expected) > TOLERANCE_FRAMES:
        raise LatentInvalid("its length is not that of the reference audio", f"{expected} frames", len(latent))


def usable_frames(latent_frames: int, prompt_frames: int) -> int:
    """Duration frames that both the latent and the alignment cover; a multiple of 8."""
    covered = latent_frames // LATENTS_MULTIPLE * LATENTS_MULTIPLE * FRAMES_PER_LATENT
    return min(prompt_frames, covered)


def _require_shape(shape: tuple[int, ...]) -> None:
    batched = len(shape) == 3 and shape[0] == 1
    if not (batched or len(shape) == 2) or shape[-1] != LATENT_CHANNELS or shape[-2] < LATENTS_MULTIPLE:
        raise LatentInvalid("its shape is wrong", f"(1, T, {LATENT_CHANNELS})", shape)
