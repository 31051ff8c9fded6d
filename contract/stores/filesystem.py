"""Blobs as files: written aside, synced, renamed.  A reader sees all of a blob or none of it.

Room is kept back for what is under way: new work is refused while less is left, so that the disk does not fill up.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import BinaryIO

from contract.blob_keys import checked
from contract.errors import ErrorCode, ServiceError
from contract.settings import StorageSettings
from contract.stores.interfaces import STREAM_BYTES, Folder
from contract.stores.room import Room

TRY_AGAIN_S = 0.5  # whether a full disk has room again
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_WRITERS = 4
_ASIDE = ".writing-"  # no key has a part with a leading dot


class FilesystemBlobStore:
    """See interfaces.BlobStore.  The first part of a key, its area, has a folder of its own."""

    def __init__(self, folders: Mapping[str, Path], room: Room | None = None, *, patience_s: float = 0.0) -> None:
        """patience_s: how long `put` waits for room on a full disk before it raises STORAGE_FULL."""
        self._folders, self._patience_s = dict(folders), patience_s
        self._room = room or Room(self._folders.values())
        self._writers = ThreadPoolExecutor(_WRITERS, "blobs")  # its threads start when there is something to do

    def put(self, key: str, data: bytes) -> None:
        self.put_all({key: data})

    def put_all(self, blobs: Mapping[str, bytes]) -> None:
        self._put_patiently({key: io.BytesIO(data) for key, data in blobs.items()})

    def put_file(self, key: str, file: BinaryIO) -> None:
        self._put_patiently({key: file})

    def _put_patiently(self, blobs: Mapping[str, BinaryIO]) -> None:
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                return self._put_all(blobs)
            except ServiceError:
                if time.monotonic() >= give_up_at:
                    raise
            time.sleep(TRY_AGAIN_S)

    def _put_all(self, blobs: Mapping[str, BinaryIO]) -> None:
        paths = [self._path(key) for key in blobs]
        try:
            together = [partial(_write, path, file) for path, file in zip(paths, blobs.values(), strict=True)]
            _all_of(together, self._writers)
            for folder in {path.parent for path in paths}:
                _sync_folder(folder)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise ServiceError(ErrorCode.STORAGE_FULL) from error
            raise

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def stream(self, key: str, *, start: int = 0) -> Iterator[bytes]:
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError:
            raise KeyError(key) from None
        return _pieces(file, start)

    def path(self, key: str) -> Path | None:
        return self._path(key).absolute()

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size_bytes(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            raise KeyError(key) from None

    def delete(self, key: str) -> bool:
        path = self._path(key)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        self._remove_empty(path.parent)
        return True

    def delete_tree(self, prefix: str) -> int:
        folder = self._path(prefix)
        count = sum(p.is_file() and not p.name.startswith(_ASIDE) for p in folder.rglob("*"))
        shutil.rmtree(folder, ignore_errors=True)
        return count

    def folders(self, area: str) -> Iterator[Folder]:
        root = self._folders[area]
        if not root.is_dir():
            return
        for path in root.iterdir():
            if path.is_dir():
                times = [path.stat().st_mtime, *(p.stat().st_mtime for p in path.rglob("*") if p.is_file())]
                yield Folder(path.name, max(times))

    def require_room(self) -> None:
        self._room.require()

    def _path(self, key: str) -> Path:
        area, _, rest = checked(key).partition("/")
        return self._folders[area] / rest

    def _remove_empty(self, folder: Path) -> None:
        """Folders between a blob and its area that nothing lies in any more."""
        roots = set(self._folders.values())
        while folder not in roots:
            try:
                folder.rmdir()
            except OSError:  # not empty, or someone was quicker
                return
            folder = folder.parent


def open_blobs(storage: StorageSettings, *, patience_s: float = 0.0) -> FilesystemBlobStore:
    """One folder per area, as the settings place them; folders are made when something is put in."""
    folders = {
        "voices": storage.voices_dir,
        "jobs": storage.jobs_dir,
        "temp": storage.temp_dir,
        "cache": storage.cache_dir,
    }
    room = Room(folders.values(), min_free_bytes=storage.min_free_bytes, max_bytes=storage.max_bytes)
    return FilesystemBlobStore(folders, room, patience_s=patience_s)


def _pieces(file: BinaryIO, start: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while data := file.read(STREAM_BYTES):
            yield data


def _all_of(works: Sequence[Callable[[], None]], threads: ThreadPoolExecutor) -> None:
    """The first here, the others beside it: disks are waited for together.  Raises once all are over."""
    beside = [threads.submit(work) for work in works[1:]]
    try:
        for work in works[:1]:
            work()
    finally:
        wait(beside)
    for each in beside:
        each.result()


def _write(path: Path, data: BinaryIO) -> None:
    """Written aside, on disk, renamed; the folder's own entry is not yet."""
    aside = path.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
    descriptor = _create(aside)
    try:
        data.seek(0)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(data, file, STREAM_BYTES)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _create(path: Path) -> int:
    """Open a new file for writing; its folder may vanish under us when another blob in it is deleted."""
    for _ in range(10):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except (FileNotFoundError, FileExistsError):  # mkdir raises the latter when it vanishes as it is looked at
            continue
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # somebody erased the blob at once, and its folder with it
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
