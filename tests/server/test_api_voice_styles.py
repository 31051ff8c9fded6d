"""Voices with several recordings, what the check of a recording says, and what may be changed."""

import io

import pytest
from api_service import Service, voice_record, wav_bytes
from flask.testing import FlaskClient

from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import Priority, VoiceStatus, VoiceType
from contract.stores.segments import WantedSegment
from contract.voice_styles import style_id

VOICES = "/api/v1/voices"
SPEAK = "/api/v1/tts/synthesize"


def upload(client: FlaskClient, style: str | None = None, *, seconds: float = 0.5, **more: object):
    data = {"voice_id": "anna", "voice_file": (io.BytesIO(wav_bytes(seconds)), "a.wav"), **more}
    if style is not None:
        data["style"] = style
    return client.post(f"{VOICES}/upload", data=data)


def say(client: FlaskClient, emotion: str | None, **more: object):
    body = {"text": "hi", "voice_id": "anna", **more}
    return client.post(SPEAK, json=body if emotion is None else {**body, "emotion": emotion})


def spoken_emotion(service: Service, answer) -> str:
    return service.stores.jobs.get(answer.headers["X-Job-ID"]).request.emotion


@pytest.fixture
def anna(service: Service) -> Service:
    """A voice with a neutral and a happy recording."""
    assert upload(service.client).status_code == 201
    assert upload(service.client, "Happy", seconds=0.6).status_code == 201
    return service


def test_another_style_is_a_further_recording_of_the_same_voice(anna: Service):
    listed = [voice for voice in anna.client.get(VOICES).json["voices"] if voice["id"] == "anna"]

    (voice,) = listed
    assert [each["style"] for each in voice["styles"]] == ["neutral", "happy"]
    assert {each["status"] for each in voice["styles"]} == {"ready"}
    assert anna.client.get(voice["styles"][1]["audio_url"]).data == wav_bytes(0.6)
    assert anna.client.get(f"{VOICES}/anna/audio").data == wav_bytes(0.5)


def test_an_emotion_picks_its_recording_and_the_two_are_different_audio(anna: Service):
    happy, neutral = say(anna.client, "HAPPY "), say(anna.client, None)

    assert spoken_emotion(anna, happy) == "happy"
    assert spoken_emotion(anna, neutral) == "neutral"
    assert "X-Warnings" not in happy.headers
    assert (happy.headers["X-Cache"], neutral.headers["X-Cache"]) == ("miss", "miss")
    fingerprints = {anna.stores.jobs.get(a.headers["X-Job-ID"]).fingerprint for a in (happy, neutral)}
    assert len(fingerprints) == 2


def test_an_emotion_the_voice_has_not_is_neutral_and_a_header_says_so(anna: Service):
    answer = say(anna.client, "sad")

    assert answer.status_code == 200
    assert answer.headers["X-Warnings"] == "emotion 'sad' has no style; neutral is used"
    assert spoken_emotion(anna, answer) == "neutral"


def test_strict_refuses_it_and_names_the_styles_there_are(anna: Service):
    answer = say(anna.client, "sad", strict=True)

    assert (answer.status_code, answer.json["error_code"]) == (422, "style_not_found")
    assert answer.json["errors"][0] == {
        "field": "emotion",
        "limit": "neutral, happy",
        "message": "emotion must be one of neutral, happy",
        "problem": "not_a_choice",
    }
    assert say(anna.client, "happy", strict=True).status_code == 200


def test_a_style_in_chinese_works_as_well(service: Service):
    upload(service.client)
    assert upload(service.client, "高兴").status_code == 201

    assert spoken_emotion(service, say(service.client, "高兴", strict=True)) == "高兴"
    assert service.client.get(f"{VOICES}/anna/audio?style=高兴").status_code == 200


def test_a_voice_without_a_neutral_recording_speaks_with_its_own(service: Service):
    upload(service.client, "sad")

    plain, happy = say(service.client, None), say(service.client, "happy")

    assert (plain.status_code, happy.status_code) == (200, 200)
    assert "X-Warnings" not in plain.headers
    assert "neutral is used" in happy.headers["X-Warnings"]


def test_the_same_style_again_is_409_unless_replaced_and_the_others_stay(anna: Service):
    assert upload(anna.client, "happy").json["error_code"] == "voice_exists"

    assert upload(anna.client, "happy", seconds=0.7, replace="true").status_code == 201
    assert anna.client.get(f"{VOICES}/anna/audio?style=happy").data == wav_bytes(0.7)
    assert anna.client.get(f"{VOICES}/anna/audio").data == wav_bytes(0.5)


def test_a_refused_style_leaves_the_voice_as_it_was(anna: Service):
    anna.worker.refuse_voice = ErrorInfo(ErrorCode.AUDIO_TOO_SHORT, "too short")

    assert upload(anna.client, "sad").status_code == 422
    assert upload(anna.client, "happy", replace="true").status_code == 422
    styles = anna.client.get(f"{VOICES}/anna").json["styles"]
    assert [(each["style"], each["status"]) for each in styles] == [("neutral", "ready"), ("happy", "ready")]


def test_no_client_can_spell_the_record_of_a_style(anna: Service):
    assert anna.stores.voices.get(style_id("anna", "happy")) is not None

    assert anna.client.get(f"{VOICES}/anna~happy").status_code == 404
    assert say(anna.client, None, voice_id="anna~happy").status_code == 404
    assert anna.client.delete(f"{VOICES}/anna~happy").status_code == 404


def test_deleting_one_style_erases_what_was_made_with_it_and_no_more(anna: Service):
    happy, neutral = say(anna.client, "happy"), say(anna.client, None)

    receipt = anna.client.delete(f"{VOICES}/anna?style=happy").json

    assert receipt["erased"]["styles"] == ["happy"]
    assert receipt["erased"]["files"] == 3  # its clip, its prompt, the one job's audio
    assert receipt["erased"]["jobs"] == 1
    assert anna.stores.jobs.get(happy.headers["X-Job-ID"]) is None
    assert anna.stores.jobs.get(neutral.headers["X-Job-ID"]) is not None
    assert [each["style"] for each in anna.client.get(f"{VOICES}/anna").json["styles"]] == ["neutral"]
    assert anna.client.delete(f"{VOICES}/anna?style=happy").status_code == 422


def test_the_first_recording_cannot_go_before_the_others(anna: Service):
    assert anna.client.delete(f"{VOICES}/anna?style=neutral").status_code == 409


def test_deleting_the_voice_erases_every_style(anna: Service):
    say(anna.client, "happy")

    receipt = anna.client.delete(f"{VOICES}/anna").json

    assert receipt["erased"]["styles"] == ["neutral", "happy"]
    assert receipt["erased"]["files"] == 5  # two clips, two prompts, the job's audio
    assert receipt["erased"]["cached_audio"] == 1
    assert receipt["erased_at"].endswith("Z")
    assert anna.stores.voices.get(style_id("anna", "happy")) is None
    assert anna.stores.blobs.delete_tree("voices/anna") == 0


def test_a_job_under_way_is_cancelled_with_its_voice(anna: Service):
    anna.worker.hold = True
    job = anna.client.post("/api/v1/jobs", json={"text": "later", "voice_id": "anna"}).json

    receipt = anna.client.delete(f"{VOICES}/anna").json

    assert receipt["erased"]["jobs_cancelled"] == 1
    assert anna.stores.jobs.get(job["id"]) is None


def test_what_is_wrong_with_a_recording_is_said_in_the_callers_language(service: Service):
    service.worker.quality = {
        "duration_s": 40.0,
        "speech_s": 2.0,
        "start_s": 1.0,
        "end_s": 29.0,
        "problems": ["short", "one_of_a_newer_release"],
        "fixes": ["shortened"],
    }
    quality = upload(service.client).json["quality"]
    in_chinese = service.client.get(f"{VOICES}/anna", headers={"Accept-Language": "zh"}).json["quality"]

    assert quality["ok"] is False
    assert quality["problems"][0]["message"] == "Only 2.0 s of speech; three seconds or more make a better voice."
    assert quality["problems"][1] == {"code": "one_of_a_newer_release", "message": "one_of_a_newer_release"}
    assert quality["fixes"] == [{"code": "shortened", "message": "Of 40 s the best part is used: 1.0 to 29.0 s."}]
    assert in_chinese["problems"][0]["message"] == "有效语音仅 2.0 秒;建议至少 3 秒。"


def test_the_message_of_an_upload_says_what_is_wrong_and_what_was_mended(service: Service):
    service.worker.quality = {"loudness_lufs": -41.2, "problems": ["quiet"], "fixes": ["level_raised"]}

    message = upload(service.client).json["message"]

    assert message == "The voice is ready. The recording is very quiet (-41 LUFS). The level was raised."


def test_consent_and_language_are_recorded_and_shown(client: FlaskClient):
    upload(client, consent="written, 2026-01-01", language="zh")

    voice = client.get(f"{VOICES}/anna").json
    assert (voice["consent"], voice["language"]) == ("written, 2026-01-01", "zh")


def test_a_patch_changes_what_a_person_may_change_and_keeps_the_rest(anna: Service):
    version = anna.client.get(f"{VOICES}/anna").json["version"]

    answer = anna.client.patch(f"{VOICES}/anna", json={"name": "安娜", "consent": "yes", "colour": "red"})

    assert answer.status_code == 200
    assert (answer.json["name"], answer.json["consent"], answer.json["version"]) == ("安娜", "yes", version)
    assert answer.headers["X-Warnings"] == "unknown fields ignored: colour"
    assert anna.client.patch(f"{VOICES}/anna", json={"consent": ""}).json["consent"] is None
    assert anna.client.get(f"{VOICES}/anna").json["name"] == "安娜"


def test_a_patched_style_is_what_emotion_then_picks(service: Service):
    upload(service.client)

    assert service.client.patch(f"{VOICES}/anna", json={"style": "Calm"}).json["style"] == "calm"
    assert say(service.client, "calm", strict=True).status_code == 200


def test_a_patch_to_a_style_that_is_taken_is_409(anna: Service):
    assert anna.client.patch(f"{VOICES}/anna", json={"style": "happy"}).status_code == 409


@pytest.mark.parametrize(
    ("body", "field"), [({"name": ""}, "name"), ({"name": "n" * 129}, "name"), ({"language": 7}, "language")]
)
def test_a_bad_patch_names_the_field(anna: Service, body: dict[str, object], field: str):
    answer = anna.client.patch(f"{VOICES}/anna", json=body)

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("kind", [VoiceType.BUILTIN, VoiceType.PROFILE])
def test_voices_that_nobody_uploaded_are_read_only(service: Service, kind: VoiceType):
    service.stores.voices.create(voice_record("given", kind=kind))
    form = {"voice_id": "given", "voice_file": (io.BytesIO(wav_bytes()), "a.wav"), "style": "happy"}

    assert service.client.patch(f"{VOICES}/given", json={"name": "mine"}).status_code == 403
    assert service.client.delete(f"{VOICES}/given").status_code == 403
    assert service.client.post(VOICES, data=form).status_code == 409
    assert service.stores.voices.get("given").status is VoiceStatus.READY


def test_deleting_a_voice_erases_its_kept_segments_and_no_others(anna: Service):
    segments, blobs = anna.stores.segments, anna.stores.blobs
    for voice_id in ("anna", "default"):
        blob = f"cache/segment-{voice_id}/audio.flac"
        blobs.put(blob, b"sound")
        segments.want(voice_id, Priority.BATCH, [WantedSegment(voice_id, 0, voice_id=voice_id)])
        claimed = segments.claim(worker="w", lease_s=10)
        assert segments.finish(claimed.key, claimed.token, blob=blob, size_bytes=5, about={})
        segments.leave(voice_id)

    files = anna.client.delete(f"{VOICES}/anna").json["erased"]["files"]

    assert files == 5  # two clips, two prompts, one segment
    assert not blobs.exists("cache/segment-anna/audio.flac")
    assert segments.read(["anna"]) == (None,)
    assert blobs.exists("cache/segment-default/audio.flac")
