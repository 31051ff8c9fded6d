"""Sending stored audio: ranges, ETag, conditional requests.  A file is sent as a file, never read whole."""

import io
from pathlib import Path

import flask

from contract.errors import ErrorCode, ServiceError
from contract.stores.interfaces import BlobStore

_IMMUTABLE_S = 3600  # a blob never changes under its name; it may be erased


def send(blobs: BlobStore, key: str, *, content_type: str, etag: str, filename: str) -> flask.Response:
    """200, 206 or 304 as Range, If-Range and If-None-Match ask; NOT_FOUND when it was erased."""
    path = blobs.path(key)
    source: Path | io.BytesIO
    try:
        source = path if path is not None and path.is_file() else io.BytesIO(blobs.get(key))
    except KeyError:
        raise ServiceError(ErrorCode.NOT_FOUND) from None
    response = flask.send_file(
        source.resolve() if isinstance(source, Path) else source,
        mimetype=content_type,
        download_name=filename,
        conditional=True,
        etag=etag,
        max_age=_IMMUTABLE_S,
    )
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = f"private, max-age={_IMMUTABLE_S}"
    return response
