"""What an exception means for a row, for a batch, for the process.  No tensor: only names and texts of errors."""

from __future__ import annotations

from megatts3.errors import DeviceLost, MegaTTS3Error, RowFailed

# What CUDA says once its context can do nothing more; every later call fails the same way.
_FATAL_WORDS = (
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "misaligned address",
    "illegal instruction",
    "an uncorrectable ecc error",
    "cuda error: unknown error",
    "gpu has fallen off the bus",
    "cublas_status_execution_failed",
    "cuda driver shutting down",
)
_FATAL_KINDS = frozenset({"AcceleratorError"})
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Less at once may succeed."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _MEMORY_WORDS)


def is_fatal(error: BaseException) -> bool:
    """The device is lost to this process, whatever is asked of it next."""
    if isinstance(error, DeviceLost):
        return True
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    text = str(error).lower()
    return type(error).__name__ in _FATAL_KINDS or any(word in text for word in _FATAL_WORDS)


def as_row_failure(request_id: str, error: Exception) -> MegaTTS3Error:
    """The library's own errors pass; any other becomes RowFailed, without its text, which may quote."""
    if isinstance(error, MegaTTS3Error):
        return error
    failure = RowFailed(request_id, type(error).__name__)
    failure.__cause__ = error
    return failure
