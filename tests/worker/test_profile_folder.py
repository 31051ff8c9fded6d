"""The read-only folder of voices: what is registered, what follows a change, what goes."""

import io
import os

import numpy as np
import pytest
from patience import clip, eventually

from contract.errors import ErrorCode, ServiceError
from contract.queues import TaskName
from contract.schemas import AudioFormat, Voice, VoiceStatus, VoiceType
from contract.settings import JobSettings, Settings, StorageSettings
from contract.stores.interfaces import CachedAudio
from worker.profile_folder import ProfileFolder


def latent(seconds: float = 2.0) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, int(25 * (seconds + 0.5)), 32), np.float32))
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "voice_profiles"
    found.mkdir()
    return found


def put(folder, name: str, data: bytes, *, age_s: float = 60.0) -> None:
    (folder / name).write_bytes(data)
    stamp = (folder / name).stat().st_mtime - age_s - len(data) / 1e6
    os.utime(folder / name, (stamp, stamp))


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def profiles(folder, stores, asked, runtime) -> ProfileFolder:
    def prepare(voice_id: str) -> None:
        asked.append(voice_id)
        runtime.prepare_voice(voice_id)

    return ProfileFolder(folder, stores, StorageSettings(max_voice_bytes=200_000), send=prepare)


def test_pairs_become_voices_that_are_ready(folder, stores, profiles, asked):
    put(folder, "xiaoming_reference.wav", clip(200.0))
    put(folder, "xiaoming_latent.npy", latent())
    put(folder, "小红_reference.wav", clip(300.0))
    put(folder, "notes.txt", b"not a voice")
    put(folder, "lonely_latent.npy", latent())

    profiles.look()
    profiles.look()

    voices = {voice.name: voice for voice in stores.voices.list()}
    assert set(voices) == {"xiaoming", "小红"}
    assert voices["xiaoming"].id == "xiaoming"
    assert {voice.type for voice in voices.values()} == {VoiceType.PROFILE}
    assert {voice.status for voice in voices.values()} == {VoiceStatus.READY}
    assert (voices["xiaoming"].latent_blob is None, voices["小红"].latent_blob is None) == (False, True)
    assert sorted(asked) == sorted(voice.id for voice in voices.values())


def test_a_file_that_changed_makes_a_new_version_and_leaves_nothing_of_the_old(folder, stores, profiles):
    put(folder, "a_reference.wav", clip(200.0))
    profiles.look()
    old = stores.voices.get("a")
    stores.audio_cache.put("f", CachedAudio(b"x", "a", AudioFormat.WAV, 1.0, 24_000))

    put(folder, "a_reference.wav", clip(400.0))
    profiles.look()

    new = stores.voices.get("a")
    assert (new.version, new.status) == (2, VoiceStatus.READY)
    assert stores.blobs.get(new.clip_blob) == clip(400.0)
    assert not stores.blobs.exists(old.clip_blob)
    assert not stores.blobs.exists(old.prompt_blob)
    assert stores.audio_cache.get("f") is None


def test_a_latent_that_comes_later_is_taken(folder, stores, profiles):
    put(folder, "a_reference.wav", clip(200.0))
    profiles.look()
    put(folder, "a_latent.npy", latent())
    profiles.look()

    assert stores.voices.get("a").latent_blob is not None


def test_a_file_that_goes_takes_its_voice_along(folder, stores, profiles):
    put(folder, "a_reference.wav", clip(200.0))
    profiles.look()
    (folder / "a_reference.wav").unlink()
    profiles.look()

    assert stores.voices.get("a") is None
    assert stores.blobs.delete_tree("voices/a") == 0


def test_a_folder_that_is_away_takes_nothing(folder, stores, profiles):
    put(folder, "a_reference.wav", clip(200.0))
    profiles.look()
    folder.rename(folder.with_name("unmounted"))
    profiles.look()

    assert stores.voices.get("a").status is VoiceStatus.READY


def test_a_file_that_is_still_being_written_is_left_for_the_next_look(folder, stores, profiles):
    put(folder, "a_reference.wav", clip(200.0)[:1000], age_s=-1.0)
    profiles.look()
    assert stores.voices.list() == ()

    put(folder, "a_reference.wav", clip(200.0))
    profiles.look()
    put(folder, "a_reference.wav", clip(300.0)[:1000], age_s=-1.0)  # overwritten just now
    profiles.look()

    assert stores.blobs.get(stores.voices.get("a").clip_blob) == clip(200.0)


def test_a_broken_file_is_listed_with_its_error_and_tried_again_when_it_changes(folder, stores, profiles, asked):
    put(folder, "a_reference.wav", b"RIFF, but no more")
    for _ in range(3):
        profiles.look()
    assert stores.voices.get("a").error.code is ErrorCode.AUDIO_UNREADABLE
    assert asked == ["a"]

    put(folder, "a_reference.wav", clip())
    profiles.look()

    assert stores.voices.get("a").status is VoiceStatus.READY


def test_a_file_that_is_too_large_is_passed_over(folder, stores, profiles):
    put(folder, "a_reference.wav", bytes(200_001))
    profiles.look()

    assert stores.voices.list() == ()


def test_a_users_voice_of_the_same_id_is_kept(folder, stores, profiles):
    stores.voices.create(Voice(id="a", name="mine", type=VoiceType.CUSTOM))
    put(folder, "a_reference.wav", clip())
    profiles.look()
    (folder / "a_reference.wav").unlink()
    profiles.look()

    assert stores.voices.get("a").name == "mine"


def test_a_store_that_was_away_is_asked_again(folder, stores, profiles, monkeypatch):
    put(folder, "a_reference.wav", clip())
    with monkeypatch.context() as away:
        away.setattr(stores.blobs, "put", unavailable)
        with pytest.raises(ServiceError):
            profiles.look()
    profiles.look()

    assert stores.voices.get("a").status is VoiceStatus.READY


def unavailable(*_: object) -> None:
    raise ServiceError(ErrorCode.STORE_UNAVAILABLE)


def test_a_worker_watches_the_folder_of_its_settings(make_runtime, stores, folder, sent, tmp_path):
    put(folder, "a_reference.wav", clip())
    settings = Settings(jobs=JobSettings(sweep_s=0.05), storage=StorageSettings(profiles_dir=folder))
    make_runtime(settings=settings).become_ready(tmp_path)

    eventually(lambda: (TaskName.PREPARE_VOICE, "a") in sent)
