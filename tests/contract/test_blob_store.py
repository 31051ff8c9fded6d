"""Bytes by key: one suite over memory and files, and what only files can show."""

from __future__ import annotations

import errno
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from s3_server import s3_server

from contract import blob_keys
from contract.errors import ErrorCode, ServiceError
from contract.schemas import AudioFormat
from contract.stores.filesystem import open_blobs
from contract.stores.memory import MemoryBlobStore
from contract.stores.room import Room, free_bytes, size_of
from contract.stores.s3 import S3BlobStore

KEY = blob_keys.job_audio("job_1", AudioFormat.WAV)


@pytest.fixture(scope="module")
def s3():
    """One S3-speaking server for this file."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        with s3_server() as settings:
            yield settings


@pytest.fixture(params=["memory", "files", "s3"])
def blobs(request, settings):
    if request.param == "s3":
        store = S3BlobStore(replace(request.getfixturevalue("s3"), prefix=secrets.token_hex(4)))
        yield store
        store.close()
    else:
        yield MemoryBlobStore() if request.param == "memory" else open_blobs(settings.storage)


def test_several_at_once_are_each_there(blobs):
    beside = blob_keys.job_timestamps("job_1")
    blobs.put(beside, b"before")
    blobs.put_all({KEY: b"sound", beside: b"times"})

    assert (blobs.get(KEY), blobs.get(beside)) == (b"sound", b"times")


def test_one_of_several_that_cannot_be_written_is_told_of(settings):
    blobs = open_blobs(settings.storage)
    blobs.put("jobs/job_1/taken", b"a file where a folder is to be")

    with pytest.raises(OSError, match="taken"):
        blobs.put_all({KEY: b"sound", "jobs/job_1/taken/times": b"times"})


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


def test_a_blob_is_streamed_from_where_one_likes(blobs):
    data = os.urandom(700_000)
    blobs.put(KEY, data)
    assert b"".join(blobs.stream(KEY)) == data
    assert b"".join(blobs.stream(KEY, start=650_001)) == data[650_001:]
    with pytest.raises(KeyError):
        blobs.stream("jobs/none/audio.wav")


def test_folders_of_an_area_are_listed_by_name(blobs):
    blobs.put(blob_keys.job_reference("job_1"), b"a")
    blobs.put(KEY, b"b")
    blobs.put(blob_keys.job_audio("job_2", AudioFormat.WAV), b"c")
    blobs.put(blob_keys.voice_clip("alice", "rec_1"), b"d")
    assert sorted(folder.name for folder in blobs.folders("jobs")) == ["job_1", "job_2"]
    assert [folder.name for folder in blobs.folders("voices")] == ["alice"]
    assert list(blobs.folders("temp")) == []


def test_a_thousand_blobs_and_more_are_erased_at_once(s3):
    blobs = S3BlobStore(replace(s3, prefix="many"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: blobs.put(f"jobs/job_1/part{n}", b"x"), range(1010)))
    assert blobs.delete_tree("jobs/job_1") == 1010
    assert list(blobs.folders("jobs")) == []
    blobs.close()


def test_an_s3_that_is_away_says_so(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    away = S3BlobStore(replace(s3, endpoint="http://127.0.0.1:1", timeout_s=0.2))
    calls = (lambda: away.put(KEY, b""), lambda: away.get(KEY), lambda: away.exists(KEY), lambda: away.stream(KEY))
    for call in calls:
        with pytest.raises(ServiceError) as caught:
            call()
        assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
    away.close()


def test_new_work_is_refused_while_too_little_is_free_and_taken_again_afterwards(tmp_path):
    plenty, scarce = Room([tmp_path]), Room([tmp_path / "not" / "yet"], min_free_bytes=free_bytes(tmp_path) + 2**40)
    plenty.require()
    with pytest.raises(ServiceError) as caught:
        scarce.require()
    assert caught.value.code is ErrorCode.STORAGE_FULL


def test_a_quota_counts_all_folders_and_is_counted_again(tmp_path, clock):
    room = Room([tmp_path / "a", tmp_path / "b"], max_bytes=100, monotonic=clock)
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_bytes(bytes(50))
    with pytest.raises(ServiceError) as caught:
        room.require()
    assert caught.value.code is ErrorCode.STORAGE_FULL
    (tmp_path / "a" / "deep" / "file").unlink()
    clock.advance(11)
    room.require()
    assert size_of(tmp_path) == 50


def test_work_under_way_is_stored_though_new_work_is_refused(settings):
    full = replace(settings.storage, max_bytes=1)
    blobs = open_blobs(full)
    blobs.put(KEY, b"under way")
    with pytest.raises(ServiceError):
        blobs.require_room()
    blobs.put(blob_keys.job_audio("job_2", AudioFormat.WAV), b"too")
    assert blobs.get(KEY) == b"under way"


def test_a_full_disk_is_waited_for_by_who_has_patience(settings, monkeypatch):
    full, sync = iter([True, True]), os.fsync

    def fsync(descriptor: int) -> None:
        if next(full, False):
            raise OSError(errno.ENOSPC, "no space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    open_blobs(settings.storage, patience_s=30).put(KEY, b"spoken already")

    blobs = open_blobs(settings.storage)
    assert blobs.get(KEY) == b"spoken already"
    full = iter([True])
    with pytest.raises(ServiceError):
        blobs.put(KEY, b"new work")


def test_what_lies_in_an_open_file_is_put_whole_and_the_file_stays_open(blobs, tmp_path):
    data = secrets.token_bytes(3 << 20)
    with (tmp_path / "aside").open("w+b") as file:
        file.write(data)
        blobs.put_file(KEY, file)
        assert not file.closed
        file.seek(0)
        file.truncate()
        blobs.put_file(KEY, file)
        assert blobs.get(KEY) == b""
        file.write(data)
        blobs.put_file(KEY, file)
    assert blobs.get(KEY) == data
