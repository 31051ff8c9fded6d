"""How much of a body is taken in, decided as early as it can be known.

By the declared length before the first byte is read, where a request could not be that long and right; by the
bytes of one file as they come in; and by `api.max_request_size` for all together (413 each time).  Not here: what is
done with the rest of a refused body, so that the client hears the answer (wsgi_layers.py).
"""

import tempfile
from typing import IO, Any, cast

import flask

from contract.errors import ErrorCode, FieldError, ServiceError
from contract.settings import Settings

_FORM_SLACK_BYTES = 1_000_000  # of part headers and small fields
_BYTES_PER_CHARACTER = 4  # of UTF-8, at most
_IN_MEMORY_BYTES = 512_000  # of a file; a larger one goes to the disk as it comes
_MAX_FILE = "MAX_FILE_BYTES"


class LimitedRequest(flask.Request):
    """A request whose files are refused while they come in."""

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002 - werkzeug's documented seam
        content_type: str | None,  # noqa: ARG002
        filename: str | None = None,  # noqa: ARG002
        content_length: int | None = None,  # noqa: ARG002
    ) -> IO[bytes]:
        limit_bytes = flask.current_app.config[_MAX_FILE]
        return cast("IO[bytes]", _LimitedFile(limit_bytes))


class _LimitedFile(tempfile.SpooledTemporaryFile[bytes]):
    """Raises when more is written than a file may have."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(max_size=_IN_MEMORY_BYTES, mode="w+b")
        self._left, self._limit = limit_bytes, limit_bytes

    def write(self, data: Any) -> int:  # Any: a buffer
        self._left -= len(data)
        if self._left < 0:
            self.close()
            error = FieldError("file", f"is larger than {self._limit} bytes", limit=f"{self._limit} bytes")
            raise ServiceError(ErrorCode.UPLOAD_TOO_LARGE, errors=(error,), params={"limit": self._limit})
        return super().write(data)


def configure(app: flask.Flask, settings: Settings) -> None:
    api, storage, limits = settings.api, settings.storage, settings.limits
    app.request_class = LimitedRequest
    app.config[_MAX_FILE] = max(storage.max_voice_bytes, storage.max_latent_bytes)
    app.config["MAX_CONTENT_LENGTH"] = api.max_request_bytes
    text_bytes = limits.max_job_text * _BYTES_PER_CHARACTER + _FORM_SLACK_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = min(text_bytes, api.max_request_bytes)
    files_bytes = storage.max_voice_bytes + storage.max_latent_bytes + _FORM_SLACK_BYTES
    longest = {
        "voices": files_bytes,
        "speech": files_bytes + limits.max_text * _BYTES_PER_CHARACTER,
    }

    def refuse_by_length() -> None:
        kind = (flask.request.blueprint or "").partition(".")[0]
        limit_bytes = min(longest.get(kind, api.max_request_bytes), api.max_request_bytes)
        if (flask.request.content_length or 0) > limit_bytes:
            params = {"limit": limit_bytes}
            raise ServiceError(ErrorCode.UPLOAD_TOO_LARGE, f"The body may have {limit_bytes} bytes.", params=params)

    app.before_request(refuse_by_length)
