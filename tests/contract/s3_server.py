"""An S3-speaking server on loopback, with a bucket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from contract.settings import S3Settings
from contract.stores.s3 import S3BlobStore


@contextmanager
def s3_server() -> Iterator[S3Settings]:
    """Settings for a fresh, empty bucket."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    settings = S3Settings(bucket="speech", prefix="one", endpoint=f"http://127.0.0.1:{server.port}", region="us-east-1")
    S3BlobStore(settings)._s3.create_bucket(Bucket=settings.bucket)
    try:
        yield settings
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
