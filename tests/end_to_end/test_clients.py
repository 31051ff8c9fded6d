"""Clients as their makers ship them, over real HTTP: OpenAI's SDK, the guide's own client and its shell lines."""

import asyncio
import base64
import importlib.util
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import openai
import pytest
import requests
from live_service import ROOT, Service, clip, samples_of

from tests.independent_decoder import RATE, decoded

pytestmark = pytest.mark.timeout(240)
SENTENCES = "The first sentence is here. Then there is a second one, somewhat longer. And a third to end it all. " * 2
QUICK = {"time_step": 4}
SIX = ("mp3", "opus", "aac", "flac", "wav", "pcm")


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def guide() -> ModuleType:
    """The guide's client, as it stands in the tests of the API."""
    spec = importlib.util.spec_from_file_location("guide", ROOT / "tests" / "server" / "known_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_six_formats_are_one_speech(client):
    spoken = {
        each: client.audio.speech.create(
            model="tts-1", voice="alloy", input="All of these say the same.", response_format=each, extra_body=QUICK
        ).content
        for each in SIX
    }

    wanted = samples_of(spoken["wav"])
    for each, data in spoken.items():
        samples = decoded(data, each)
        assert len(samples) / RATE == pytest.approx(len(wanted) / RATE, abs=0.13), each  # a codec's padding
        # The same sound or not is heard on speech (tests/audio/test_six_formats.py); a random network speaks noise.
        assert np.std(samples) == pytest.approx(np.std(wanted), rel=0.3), each


@pytest.mark.parametrize("audio_format", ["mp3", "opus", "aac", "pcm", "wav"])
def test_the_sdk_streams_speech_while_it_is_spoken(client, audio_format):
    text = f"{SENTENCES} For {audio_format}."
    how = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": text, "response_format": audio_format}
    streaming = client.audio.speech.with_streaming_response
    with streaming.create(**how, stream_format="audio", extra_body={**QUICK, "time_step": 12}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["x-cache"] == "miss"
        pieces = list(answer.iter_bytes())
    whole = client.audio.speech.create(**how, extra_body={"stream": False, "time_step": 12})

    assert len(pieces) > 1
    streamed, wanted = decoded(b"".join(pieces), audio_format), decoded(whole.content, audio_format)
    assert len(streamed) / RATE == pytest.approx(len(wanted) / RATE, abs=0.13)
    if audio_format in ("pcm", "wav"):
        np.testing.assert_array_equal(streamed, wanted)


def test_the_sdk_streams_events(client):
    streaming = client.audio.speech.with_streaming_response
    how = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": SENTENCES, "response_format": "pcm"}
    with streaming.create(**how, stream_format="sse", extra_body=QUICK) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    whole = client.audio.speech.create(**how, extra_body={**QUICK, "stream": False})

    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["total_tokens"] > 0
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == whole.content


def test_the_asynchronous_sdk_writes_a_file_as_it_comes(service, tmp_path):
    async def speak() -> None:
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
            streaming = client.audio.speech.with_streaming_response
            how = {"model": "tts-1", "voice": "echo", "input": "Into a file.", "extra_body": QUICK}
            async with streaming.create(**how) as answer:
                await answer.stream_to_file(tmp_path / "speech.mp3")

    asyncio.run(speak())

    assert len(decoded((tmp_path / "speech.mp3").read_bytes(), "mp3")) > RATE // 10


def test_instructions_are_accepted(client):
    answer = client.audio.speech.with_raw_response.create(
        model="gpt-4o-mini-tts", voice="ash", input="Quietly.", instructions="Whisper.", extra_body=QUICK
    )

    assert "instructions have no effect" in answer.headers["x-warnings"]
    assert len(answer.content) > 1000


def test_the_sdk_reads_our_errors(client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.audio.speech.create(model="tts-1", voice="nobody", input="Hello.")
    with pytest.raises(openai.UnprocessableEntityError) as too_long:
        client.audio.speech.create(model="tts-1", voice="alloy", input="a" * 4097)

    assert (unknown.value.code, unknown.value.param) == ("voice_not_found", "voice")
    assert (too_long.value.code, too_long.value.param) == ("text_too_long", "input")
    assert "4096" in too_long.value.message


def test_models_and_voices_through_the_sdk(client):
    assert {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("tts-1").id == "tts-1"

    made = client.audio.voices.create(name="From the SDK", consent="cons_1", audio_sample=("a.wav", clip(260.0)))
    spoken = client.audio.speech.create(model="tts-1", voice={"id": made.id}, input="As me.", extra_body=QUICK)
    gone = client.audio.voices.delete(made.id)

    assert made.object == "audio.voice"
    assert len(spoken.content) > 1000
    assert (gone.id, gone.deleted) == (made.id, True)


def test_half_the_time_at_twice_the_speed(service):
    one, two = (len(samples_of(service.synthesize(SENTENCES, speed=speed).content)) / RATE for speed in (1.0, 2.0))

    assert two / one == pytest.approx(0.5, abs=0.05)


def test_another_pitch_takes_exactly_as_long(service):
    one, high = (samples_of(service.synthesize("As long as before.", pitch=pitch).content) for pitch in (1.0, 1.3))

    assert len(one) == len(high)
    assert np.abs(one - high).max() > 1e-3


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)  # it leaves files open
def test_the_guides_client_speaks_with_and_without_a_recording(service, guide, tmp_path):
    recording = tmp_path / "reference_voice.wav"
    recording.write_bytes(clip(240.0))
    client = guide.MegaTTS3Client(service.url)
    with client.session:
        spoken = client.synthesize_text(text="欢迎使用", voice_id="voice_001", speed=1.0, pitch=1.0)
        imitated = client.synthesize_with_voice_file("你好世界", recording, speed=1.0)
        uploaded = guide.upload_voice_sample(client, "custom_voice_001", recording, "自定义女声样本")
        listed = guide.list_voices(client)

    assert len(samples_of(spoken)) > 0
    assert len(samples_of(imitated)) > 0
    assert uploaded["success"] is True
    assert "custom_voice_001" in {voice["id"] for voice in listed["voices"]}


LINES = """
curl -s http://localhost:9000/health > health.json

curl -s -X POST http://localhost:9000/api/v1/tts/synthesize \\
  -H "Content-Type: application/json" \\
  -d '{
    "text": "你好，这是MegaTTS3语音合成测试。",
    "voice_id": "voice_001",
    "parameters": {
      "speed": 1.0,
      "pitch": 1.0,
      "emotion": "neutral"
    }
  }' \\
  --output output.wav

curl -s -X POST http://localhost:9000/api/v1/tts/synthesize_file \\
  -F "text=你好世界" \\
  -F "voice_file=@reference_voice.wav" \\
  -F "speed=1.0" \\
  --output result.wav
"""


def test_the_guides_shell_lines(service, tmp_path: Path):
    """As bash runs them, but for the port."""
    bash = shutil.which("bash")
    assert bash
    assert shutil.which("curl")
    (tmp_path / "reference_voice.wav").write_bytes(clip(230.0))

    subprocess.run([bash, "-e", "-c", LINES.replace("http://localhost:9000", service.url)], cwd=tmp_path, check=True)

    assert json.loads((tmp_path / "health.json").read_text())["status"] == "healthy"
    for name in ("output.wav", "result.wav"):
        assert len(samples_of((tmp_path / name).read_bytes())) > 0, name


def test_curl_sees_a_stream_from_its_first_byte_to_its_last(service, tmp_path: Path):
    body = json.dumps({"text": SENTENCES, "stream": True, "cache": False, "time_step": 4})
    line = ["curl", "-sN", "-o", "out.wav", "-w", "%{http_code} %{time_starttransfer} %{time_total}"]
    line += ["-H", "Content-Type: application/json", "-d", body, f"{service.url}/api/v1/tts/synthesize"]

    told = subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()

    assert told[0] == "200"
    assert float(told[1]) < float(told[2])
    assert len(decoded((tmp_path / "out.wav").read_bytes(), "wav")) > RATE


def test_a_streamed_answer_to_an_old_client_is_whole(service):
    """HTTP/1.0 has no chunks, and a connection that closes would look like the end."""
    body = json.dumps({"text": SENTENCES, "stream": True, "cache": False, "time_step": 4})
    line = ["curl", "-s0", "-D", "-", "-o", "-", "-H", "Content-Type: application/json", "-d", body]
    answer = subprocess.run([*line, f"{service.url}/api/v1/tts/synthesize"], check=True, capture_output=True).stdout
    head, _, audio = answer.partition(b"\r\n\r\n")

    assert f"content-length: {len(audio)}" in head.decode().lower()
    assert len(samples_of(audio)) > RATE


def test_without_a_worker_that_reads_it_nothing_is_streamed_but_an_error(service):
    answer = requests.post(
        f"{service.url}/api/v1/tts/synthesize", json={"text": "...", "stream": True, "time_step": 4}, timeout=60
    )

    assert answer.status_code >= 400
    assert answer.headers["Content-Type"] == "application/problem+json"
