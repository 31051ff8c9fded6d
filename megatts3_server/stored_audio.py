"""Sending stored audio: ranges, ETag, conditional requests.  Never read whole: a file is sent as a file, a blob from
elsewhere a piece at a time.
"""

from collections.abc import Iterator

import flask
from werkzeug.datastructures import Headers

from contract.errors import ErrorCode, ServiceError
from contract.stores.interfaces import BlobStore

_IMMUTABLE_S = 3600  # a blob never changes under its name; it may be erased


def send(blobs: BlobStore, key: str, *, content_type: str, etag: str, filename: str) -> flask.Response:
    """200, 206 or 304 as Range, If-Range and If-None-Match ask; NOT_FOUND when it was erased."""
    if flask.request.range is None:  # none, or one that says nothing: RFC 9110 lets it be passed over
        flask.request.environ.pop("HTTP_RANGE", None)
    path = blobs.path(key)
    if path is not None and path.is_file():
        response = flask.send_file(
            path.resolve(), mimetype=content_type, download_name=filename, conditional=True, etag=etag
        )
    else:
        response = _from_elsewhere(blobs, key, content_type=content_type, etag=etag, filename=filename)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = f"private, max-age={_IMMUTABLE_S}"
    return response


def _from_elsewhere(blobs: BlobStore, key: str, *, content_type: str, etag: str, filename: str) -> flask.Response:
    try:
        size_bytes = blobs.size_bytes(key)
    except KeyError:
        raise ServiceError(ErrorCode.NOT_FOUND) from None
    headers = Headers()
    headers.add("Content-Disposition", "inline", filename=filename)
    response = flask.Response(Pieces(blobs, key), mimetype=content_type, headers=headers, direct_passthrough=True)
    response.content_length = size_bytes
    response.set_etag(etag)
    response.make_conditional(flask.request, accept_ranges=True, complete_length=size_bytes)
    return response


class Pieces:
    """A blob as werkzeug sends ranges of it: it seeks once, reads from there, and closes when it has enough."""

    def __init__(self, blobs: BlobStore, key: str) -> None:
        self._blobs, self._key = blobs, key
        self._at = 0
        self._source: Iterator[bytes] | None = None

    def seekable(self) -> bool:
        return True

    def seek(self, at: int) -> None:
        self._at = at

    def tell(self) -> int:
        return self._at

    def __iter__(self) -> "Pieces":
        return self

    def __next__(self) -> bytes:
        if self._source is None:
            self._source = self._blobs.stream(self._key, start=self._at)
        data = next(self._source)
        self._at += len(data)
        return data

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
