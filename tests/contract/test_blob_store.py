"""Bytes by key: one suite over memory and files, and what only files can show."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.schemas import AudioFormat
from contract.stores.filesystem import open_blobs
from contract.stores.memory import MemoryBlobStore

KEY = blob_keys.job_audio("job_1", AudioFormat.WAV)


@pytest.fixture(params=["memory", "files"])
def blobs(request, settings):
    return MemoryBlobStore() if request.param == "memory" else open_blobs(settings.storage)


def test_what_was_put_in_comes_out(blobs):
    blobs.put(KEY, b"\0\1")
    assert blobs.get(KEY) == b"\0\1"
    assert blobs.exists(KEY)
    assert blobs.size_bytes(KEY) == 2
    blobs.put(KEY, b"new")
    assert blobs.get(KEY) == b"new"


def test_what_is_not_there_is_a_key_error(blobs):
    assert not blobs.exists(KEY)
    assert not blobs.delete(KEY)
    for ask in (blobs.get, blobs.size_bytes):
        with pytest.raises(KeyError):
            ask(KEY)


def test_deleting_a_folder_erases_all_below_it_and_nothing_beside(blobs):
    blobs.put(blob_keys.job_reference("job_1"), b"a")
    blobs.put(KEY, b"b")
    blobs.put(blob_keys.job_audio("job_10", AudioFormat.WAV), b"c")
    assert blobs.delete_tree(blob_keys.job_folder("job_1")) == 2
    assert blobs.delete_tree(blob_keys.job_folder("job_1")) == 0
    assert not blobs.exists(KEY)
    assert blobs.exists(blob_keys.job_audio("job_10", AudioFormat.WAV))


@pytest.mark.parametrize(
    "key",
    [
        "voices/../../etc/passwd",
        "voices/..",
        "/etc/passwd",
        "elsewhere/a",
        "voices",
        "voices/",
        "voices//a",
        "voices/.writing-1",
        "voices/a\0b",
        "voices/a b",
        "voices/声音",
        "voices/a/b/c/d/e",
        "",
    ],
)
def test_a_key_that_is_not_ours_is_refused_everywhere(blobs, key):
    calls = (lambda: blobs.put(key, b""), lambda: blobs.get(key), lambda: blobs.delete_tree(key))
    for call in (*calls, lambda: blobs.delete(key), lambda: blobs.exists(key), lambda: blobs.path(key)):
        with pytest.raises(ValueError, match="not a blob key"):
            call()


def test_each_area_lies_in_its_own_folder(settings):
    blobs = open_blobs(settings.storage)
    blobs.put(blob_keys.voice_clip("alice", "rec_1"), b"a")
    blobs.put(KEY, b"b")
    assert (settings.storage.voices_dir / "alice" / "rec_1" / "clip").read_bytes() == b"a"
    assert blobs.path(KEY) == settings.storage.jobs_dir / "job_1" / "audio.wav"


def test_deleting_the_last_blob_leaves_no_empty_folders(settings):
    blobs = open_blobs(settings.storage)
    blobs.put(KEY, b"b")
    blobs.delete(KEY)
    assert list(settings.storage.jobs_dir.iterdir()) == []


def test_a_disk_without_room_is_said_plainly_and_leaves_nothing_behind(settings, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "no space left on device")

    blobs = open_blobs(settings.storage)
    blobs.put(KEY, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ServiceError) as caught:
        blobs.put(KEY, b"new")
    assert caught.value.code is ErrorCode.STORAGE_FULL
    assert blobs.get(KEY) == b"old"
    assert [path.name for path in (settings.storage.jobs_dir / "job_1").iterdir()] == ["audio.wav"]


def test_many_writers_and_erasers_of_one_folder_do_not_disturb_each_other(settings):
    blobs = open_blobs(settings.storage)
    keys = [blob_keys.checked(f"jobs/job_1/part{n}") for n in range(4)]

    def work(n):
        key = keys[n % 4]
        blobs.put(key, b"x")
        blobs.delete(key)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(80)))
    assert not any(blobs.exists(key) for key in keys)
