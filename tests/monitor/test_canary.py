"""The canary: what it takes for speech, what it posts, and when readiness goes off and comes back."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from contract.settings import MonitoringSettings, Settings
from contract.stores.memory import memory_stores
from megatts3.audio.formats import decode, encode
from megatts3.audio.waveform import Waveform
from monitor.canary import CHARACTERS, Canary
from monitor.hearing import complaints, measure
from monitor.http_client import Answer, Unreachable

ROOT = Path(__file__).resolve().parents[2]
RATE = 24_000


def wav(samples: np.ndarray) -> bytes:
    return encode(Waveform(np.asarray(samples, dtype=np.float32), RATE), "wav")


def recording() -> bytes:
    """A voice that ships with mini: somebody speaks."""
    return wav(decode((ROOT / "checkpoints/mini/voices/default.flac").read_bytes()).samples)


def tone(seconds: float, level: float = 0.2) -> np.ndarray:
    return level * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE)


NOISE = np.random.default_rng(1).standard_normal(3 * RATE)


def test_a_recording_of_speech_sounds_like_speech():
    data = recording()
    seconds = soundfile.info(io.BytesIO(data)).duration

    assert complaints(measure(data, characters=int(seconds * 8))) == ()


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (np.zeros(3 * RATE), "level"),
        (0.1 * NOISE, "noise"),
        (tone(3.0), "monotony"),
        (20 * NOISE, "clipping"),
        (tone(0.2), "length"),
        (tone(60.0), "length"),
    ],
)
def test_what_a_broken_model_gives_does_not(samples, complaint):
    assert complaint in complaints(measure(wav(np.clip(samples, -1, 1)), characters=20))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"<html>", wav(np.zeros(0))])
def test_what_is_no_audio_is_said_to_be_none(data):
    with pytest.raises(ValueError, match=r".*"):
        measure(data, characters=20)


@dataclass
class FakeService:
    """Answers as the test says."""

    answer: Answer | None = None  # None: nobody answers
    asked: list[dict[str, object]] = field(default_factory=list)

    def synthesize(self, body: dict[str, object], *, request_id: str) -> Answer:
        assert request_id.startswith("canary-")
        self.asked.append(body)
        if self.answer is None:
            raise Unreachable("URLError")
        return self.answer


def speech() -> bytes:
    """As many seconds of the recording as the sentence is worth."""
    samples = decode(recording()).samples
    return wav(samples[: int(CHARACTERS / 8 * RATE)])


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stores(clock):
    return memory_stores(Settings(), clock=clock)


@pytest.fixture
def service() -> FakeService:
    return FakeService(Answer(200, speech()))


@pytest.fixture
def canary(service, stores, clock) -> Canary:
    settings = MonitoringSettings(canary_interval_s=300, health_check_interval_s=30)
    return Canary(service, stores.canary, settings, clock=clock)


def test_good_speech_is_posted_with_its_figures(canary, stores, service):
    assert canary.turn() == 300

    verdict = stores.canary.read()
    assert (verdict.ok, verdict.failures, verdict.runs, verdict.reason) == (True, 0, 1, "")
    assert verdict.checks["level_db"] < 0
    assert service.asked[0]["cache"] is False


def test_one_bad_sentence_is_a_warning_two_are_a_verdict_and_a_good_one_ends_it(canary, stores, service, clock):
    service.answer = Answer(200, wav(0.1 * NOISE))
    assert canary.turn() == 30  # asked again soon
    assert not stores.canary.read().speech_is_bad
    assert "noise" in stores.canary.read().reason

    clock.now += 31
    canary.turn()
    assert stores.canary.read().speech_is_bad

    service.answer = Answer(200, speech())
    clock.now += 31
    assert canary.turn() == 300
    assert stores.canary.read().ok


@pytest.mark.parametrize("answer", [Answer(500), Answer(504), Answer(200, b"hello"), None])
def test_an_error_or_no_answer_is_a_failure(canary, stores, service, answer):
    service.answer = answer

    canary.turn()

    assert not stores.canary.read().ok


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_an_answer_that_says_not_now_is_judged_neither_way(canary, stores, service, status):
    service.answer = Answer(status)

    canary.turn()

    assert stores.canary.read() is None


def test_of_two_monitors_one_speaks(canary, stores, service, clock):
    other = Canary(service, stores.canary, MonitoringSettings(), clock=clock)

    canary.turn()
    other.turn()
    assert len(service.asked) == 1

    clock.now += 299
    other.turn()
    canary.turn()
    assert len(service.asked) == 2


def test_an_old_verdict_means_nothing(canary, stores, clock):
    canary.turn()
    clock.now += 3 * 300 + 1

    assert stores.canary.read() is None
