"""Blobs in S3 or anything that speaks it, so that API and workers may stand on machines that share no disk.

boto3, because it talks through Python's own sockets and so waits politely under gevent.  It is imported when a store
is opened: who keeps files does not pay for it.  Credentials come from where boto3 looks for them (AWS_* variables,
a profile, the machine's role).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from contract.blob_keys import checked
from contract.errors import ErrorCode, ServiceError
from contract.settings import S3Settings
from contract.stores.interfaces import STREAM_BYTES, Folder

_NOT_THERE = {"404", "NoSuchKey", "NotFound"}
_NO_ROOM = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}
_AT_ONCE = 1000  # keys a delete request may name


class S3BlobStore:
    """See interfaces.BlobStore.  An object's name is the prefix and the key."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._prefix = settings.prefix.strip("/")
        self._lock = threading.Lock()
        self._client: Any = None  # Any: boto3 makes its classes at run time

    def put(self, key: str, data: bytes) -> None:
        with _translated(key):
            self._s3.put_object(Bucket=self._settings.bucket, Key=self._name(key), Body=data)

    def put_all(self, blobs: Mapping[str, bytes]) -> None:
        for key, data in blobs.items():
            self.put(key, data)

    def put_file(self, key: str, file: BinaryIO) -> None:
        file.seek(0)
        with _translated(key):  # in parts, where it is large; the file stays open
            self._s3.upload_fileobj(_Kept(file), self._settings.bucket, self._name(key))

    def get(self, key: str) -> bytes:
        with _translated(key):
            found: bytes = self._object(key)["Body"].read()
            return found

    def stream(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        with _translated(key):
            body = self._object(key, **({"Range": f"bytes={start}-"} if start else {}))["Body"]
        return _chunks(key, body)

    def path(self, key: str) -> Path | None:
        checked(key)
        return None

    def exists(self, key: str) -> bool:
        try:
            self.size_bytes(key)
        except KeyError:
            return False
        return True

    def size_bytes(self, key: str) -> int:
        with _translated(key):
            return int(self._s3.head_object(Bucket=self._settings.bucket, Key=self._name(key))["ContentLength"])

    def delete(self, key: str) -> bool:
        if not self.exists(key):  # S3 itself does not tell
            return False
        with _translated(key):
            self._s3.delete_object(Bucket=self._settings.bucket, Key=self._name(key))
        return True

    def delete_tree(self, prefix: str) -> int:
        with _translated(prefix):
            names = [found["Key"] for found in self._listed(f"{self._name(prefix)}/")]
            for at in range(0, len(names), _AT_ONCE):
                doomed = {"Objects": [{"Key": name} for name in names[at : at + _AT_ONCE]], "Quiet": True}
                self._s3.delete_objects(Bucket=self._settings.bucket, Delete=doomed)
        return len(names)

    def folders(self, area: str) -> Iterator[Folder]:
        below = self._name(f"{area}/x").removesuffix("x")
        newest: dict[str, float] = {}
        with _translated(area):
            for found in self._listed(below):
                name = found["Key"].removeprefix(below).partition("/")[0]
                newest[name] = max(newest.get(name, 0.0), found["LastModified"].timestamp())
        yield from (Folder(name, changed_at) for name, changed_at in newest.items())

    def require_room(self) -> None:
        """A bucket grows as it is used; its owner's quota is told by `put`."""

    def close(self) -> None:
        """Let go of the connections; the next call opens others."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    @property
    def _s3(self) -> Any:  # Any: boto3 makes its classes at run time
        with self._lock:
            if self._client is None:
                self._client = _connect(self._settings)
            return self._client

    def _object(self, key: str, **options: str) -> Any:  # Any: as above
        return self._s3.get_object(Bucket=self._settings.bucket, Key=self._name(key), **options)

    def _listed(self, beginning: str) -> Iterator[Any]:  # Any: as above
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._settings.bucket, Prefix=beginning)
        for page in pages:
            yield from page.get("Contents", ())

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{checked(key)}" if self._prefix else checked(key)


class _Kept:
    """A file that boto3 may not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Its owner does."""


def _connect(settings: S3Settings) -> Any:  # Any: as above
    import boto3  # noqa: PLC0415 - only for who has his blobs there
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=settings.timeout_s,
        read_timeout=settings.timeout_s,
        retries={"max_attempts": 3, "mode": "standard"},
        s3={"addressing_style": "path"} if settings.endpoint else {},
        max_pool_connections=64,
    )
    return boto3.session.Session().client(
        "s3", endpoint_url=settings.endpoint, region_name=settings.region, config=config
    )


def _chunks(key: str, body: Any) -> Iterator[bytes]:  # Any: botocore's stream
    try:
        with _translated(key):
            while data := body.read(STREAM_BYTES):
                yield data
    finally:
        body.close()


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Not there → KeyError, no room → STORAGE_FULL, nobody answers → STORE_UNAVAILABLE."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see _connect

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _NOT_THERE:
            raise KeyError(key) from None
        if code in _NO_ROOM or str(status) in _NO_ROOM:
            raise ServiceError(ErrorCode.STORAGE_FULL) from error
        if status >= 500 or code in {"SlowDown", "RequestTimeout"}:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE, retry_after_s=5) from error
        raise
    except BotoCoreError as error:
        raise ServiceError(ErrorCode.STORE_UNAVAILABLE, retry_after_s=5) from error
