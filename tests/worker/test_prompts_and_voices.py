"""Prompts: prepared once, stored, kept within bytes; and the voices that come with a checkpoint."""

import threading

import pytest
import yaml
from fake_engine import FakeEngine, voice_of
from patience import clip

from contract.errors import ErrorCode
from contract.schemas import DEFAULT_VOICE, JobStatus, Voice, VoiceStatus, VoiceType
from megatts3.api import VoicePrompt
from worker import shipped_voices
from worker.prompt_cache import PromptCache
from worker.shipped_voices import ShippedVoicesError, read_index


def test_preparing_a_voice_stores_its_prompt_and_makes_it_ready(runtime, stores, voice):
    runtime.prepare_voice(voice.id)

    ready = stores.voices.get(voice.id)
    assert ready.status is VoiceStatus.READY
    assert ready.revision == runtime.engine.revision
    assert ready.duration_s == pytest.approx(2.0)
    stored = VoicePrompt.from_bytes(stores.blobs.get(ready.prompt_blob))
    assert stored.fingerprint == voice_of(clip()).fingerprint


def test_a_second_delivery_of_a_voice_does_nothing(runtime, voice):
    runtime.prepare_voice(voice.id)
    runtime.prepare_voice(voice.id)

    assert len(runtime.engine.prepared) == 1


def test_a_clip_that_is_no_audio_fails_the_voice_with_its_code(runtime, stores):
    stores.blobs.put("voices/noise/v1/clip", b"this is no audio")
    stores.voices.create(Voice(id="noise", name="noise", clip_blob="voices/noise/v1/clip"))

    runtime.prepare_voice("noise")

    failed = stores.voices.get("noise")
    assert failed.status is VoiceStatus.FAILED
    assert failed.error.code is ErrorCode.AUDIO_UNREADABLE


def test_without_an_encoder_a_voice_without_a_latent_asks_for_one(make_runtime, stores, voice):
    make_runtime(FakeEngine(has_encoder=False)).prepare_voice(voice.id)

    assert stores.voices.get(voice.id).error.code is ErrorCode.LATENT_REQUIRED


def test_another_worker_uses_the_stored_prompt(make_runtime, voice, submit):
    first, second = make_runtime(name="first"), make_runtime(name="second")
    first.prepare_voice(voice.id)

    second.synthesize(submit().id)

    assert second.engine.prepared == []
    assert second.engine.submitted


def test_a_prompt_of_other_weights_is_made_again(make_runtime, stores, voice, submit):
    make_runtime(name="old").prepare_voice(voice.id)
    newer = FakeEngine()
    newer.revision = "fake-2"

    make_runtime(newer, name="new").synthesize(submit().id)

    assert len(newer.prepared) == 1
    assert stores.voices.get(voice.id).revision == "fake-2"


def test_a_reference_clip_is_prepared_once_however_often_it_is_sent(runtime, stores, submit, status):
    for name in ("a", "b", "c"):
        stores.blobs.put(f"jobs/{name}/reference", clip(330.0))
    jobs = [submit(reference_audio_blob=f"jobs/{name}/reference") for name in ("a", "b", "c")]

    for job in jobs:
        runtime.synthesize(job.id)

    assert [status(job) for job in jobs] == [JobStatus.DONE] * 3
    assert len(runtime.engine.prepared) == 1


def test_a_latent_file_that_is_none_is_refused_with_its_code(runtime, stores, submit):
    stores.blobs.put("jobs/a/reference", clip())
    stores.blobs.put("jobs/a/latent.npy", b"\x80\x04 pickled things")
    job = submit(reference_audio_blob="jobs/a/reference", reference_latent_blob="jobs/a/latent.npy")

    runtime.synthesize(job.id)

    assert stores.jobs.get(job.id).error.code is ErrorCode.LATENT_INVALID


def test_the_prompt_cache_keeps_within_its_bytes_and_drops_the_least_recently_used():
    cache = PromptCache(max_bytes=250)
    made: list[str] = []

    def ask(key: str) -> None:
        def make() -> tuple[VoicePrompt, int]:
            made.append(key)
            return voice_of(key.encode()), 100

        cache.get(key, make)

    for key in ("a", "b", "a", "c", "a", "b"):
        ask(key)

    assert made == ["a", "b", "c", "b"]
    assert cache.size_bytes <= 250


def test_a_prompt_that_many_ask_for_at_once_is_made_once():
    cache = PromptCache(max_bytes=1000)
    made: list[int] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        cache.get("a", lambda: (made.append(1), (voice_of(b"a"), 10))[1])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == [1]


def test_a_failed_making_leaves_nothing_behind_and_the_next_asks_again():
    cache = PromptCache(max_bytes=1000)

    def fail() -> tuple[VoicePrompt, int]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get("a", fail)

    assert cache.get("a", lambda: (voice_of(b"a"), 10)).fingerprint == voice_of(b"a").fingerprint


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint's folder as far as its voices go."""
    folder = tmp_path / "mini" / "voices"
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(clip(200.0))
    (folder / "b.wav").write_bytes(clip(300.0))
    entries = [
        {"id": DEFAULT_VOICE, "name": "Anna", "clip": "a.wav", "language": "en"},
        {"id": "voice_001", "name": "小明", "clip": "b.wav", "language": "zh"},
    ]
    (folder / "voices.yaml").write_text(yaml.safe_dump({"voices": entries}, allow_unicode=True))
    return folder.parent


def test_a_checkpoints_voices_are_ready_when_the_worker_is(runtime, stores, checkpoint):
    runtime.become_ready(checkpoint)

    voices = {voice.id: voice for voice in stores.voices.list()}
    assert voices[DEFAULT_VOICE].status is VoiceStatus.READY
    assert voices["voice_001"].name == "小明"
    assert voices["voice_001"].type is VoiceType.BUILTIN
    state = stores.workers.list()[0]
    assert state.ready
    assert state.device == "cpu"
    assert state.checkpoint == "mini"


def test_a_second_worker_prepares_nothing_again(make_runtime, checkpoint):
    first, second = make_runtime(name="first"), make_runtime(name="second")
    first.become_ready(checkpoint)
    second.become_ready(checkpoint)

    assert len(first.engine.prepared) == 2
    assert second.engine.prepared == []


def test_a_users_voice_of_the_same_id_is_kept(runtime, stores, checkpoint):
    stores.voices.create(Voice(id="voice_001", name="mine", type=VoiceType.CUSTOM))

    runtime.become_ready(checkpoint)

    assert stores.voices.get("voice_001").name == "mine"


def test_a_changed_clip_of_a_shipped_voice_is_taken_over(make_runtime, stores, checkpoint):
    make_runtime(name="before").become_ready(checkpoint)
    (checkpoint / "voices" / "a.wav").write_bytes(clip(500.0))

    after = make_runtime(name="after")
    after.become_ready(checkpoint)

    assert after.engine.prepared == [clip(500.0)]
    assert stores.voices.get(DEFAULT_VOICE).version == 2


@pytest.mark.parametrize(
    "text",
    [
        "voices: 3",
        "voices: [{id: a}]",
        "voices: [{id: a, clip: missing.wav}]",
        "voices: [{id: a, clip: ../../secret.wav}]",
        "voices: [{id: 'a/b', clip: a.wav}]",
        "voices: [",
    ],
)
def test_a_wrong_voices_file_is_refused_with_its_name(checkpoint, text):
    (checkpoint.parent / "secret.wav").write_bytes(b"")
    (checkpoint / shipped_voices.FOLDER / shipped_voices.INDEX).write_text(text)

    with pytest.raises(ShippedVoicesError, match=r"voices\.yaml"):
        read_index(checkpoint)


def test_a_checkpoint_may_ship_no_voices(tmp_path):
    assert read_index(tmp_path) == ()


def test_a_shipped_prompt_is_taken_as_it_is(runtime, stores, checkpoint):
    """Who made the clip knows what is said in it; the aligner is not asked."""
    folder = checkpoint / "voices"
    prompt = voice_of(b"made elsewhere")
    (folder / "a.safetensors").write_bytes(prompt.to_bytes())
    entry = {"id": DEFAULT_VOICE, "name": "Anna", "clip": "a.wav", "language": "en", "prompt": "a.safetensors"}
    (folder / "voices.yaml").write_text(yaml.safe_dump({"voices": [entry]}))
    runtime.become_ready(checkpoint)

    voice = stores.voices.get(DEFAULT_VOICE)
    assert voice.status is VoiceStatus.READY
    assert stores.blobs.get(voice.prompt_blob) == prompt.to_bytes()
