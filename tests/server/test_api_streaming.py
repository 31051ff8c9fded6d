"""Audio while it is spoken: pieces in order, one computation for all who listen, and no end that looks like one."""

import base64
import dataclasses
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_service import WORKER, Service, until, wav_bytes
from werkzeug.test import TestResponse

from contract import blob_keys
from contract.errors import ErrorCode, ErrorInfo
from contract.schemas import AudioFormat, Job, JobResult, JobStatus
from contract.stores.interfaces import Chunk
from megatts3_server.streamed_answer import StreamBroken

SYNTHESIZE = "/api/v1/tts/synthesize"
BODY = {"text": "One. Two. Three.", "voice_id": "default", "stream": True, "response_format": "pcm"}
PIECES = (b"\1\0" * 10, b"\2\0" * 20, b"\3\0" * 5)


class Speaker:
    """A worker that speaks the one job there is, piece by piece as the test says, by the real store calls."""

    def __init__(self, service: Service) -> None:
        self.service, self.stores = service, service.stores
        self.service.worker.hold = True
        self.samples = self.sequence = 0

    @property
    def job(self) -> Job:
        return next(job for job in self.stores.jobs.list().jobs if not job.follows)

    def claim(self, *, lease_s: float = 15) -> None:
        until(lambda: self.stores.jobs.list().jobs and self.stores.chunks.is_wanted(self.job.id))
        claim = self.stores.jobs.claim(self.job.id, worker=WORKER.name, lease_s=lease_s)
        assert claim is not None
        self.token, self.samples, self.sequence = claim.token, 0, 0

    def say(self, data: bytes, *, is_last: bool = False) -> None:
        ends_at = self.samples + len(data) // 2
        about = {"starts_at": str(self.samples), "ends_at": str(ends_at), "rate": "24000"}
        self.stores.chunks.append(
            self.job.work_id, self.token, Chunk(self.sequence, data, is_last=is_last, about=about)
        )
        self.samples, self.sequence = ends_at, self.sequence + 1

    def finish(self, data: bytes = b"".join(PIECES)) -> None:
        job = self.job
        blob = blob_keys.job_audio(job.id, AudioFormat.PCM)
        self.stores.blobs.put(blob, data)
        self.stores.jobs.finish(job.id, self.token, JobResult(blob, AudioFormat.PCM, 0.1, 24_000, len(data), 0.05))

    def fail(self, code: ErrorCode = ErrorCode.SYNTHESIS_FAILED) -> None:
        self.stores.jobs.fail(self.job.id, self.token, ErrorInfo(code, "no"))


@pytest.fixture
def speaker(service: Service) -> Speaker:
    return Speaker(service)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def ask(service: Service, body: dict[str, object] = BODY, **how: object) -> TestResponse:
    return service.client.post(SYNTHESIZE, json=body, buffered=False, **how)


def begin(service: Service, speaker: Speaker, pool: ThreadPoolExecutor, **body: object) -> TestResponse:
    """The answer, whose first piece has come."""
    asked = pool.submit(ask, service, {**BODY, **body})
    speaker.claim()
    speaker.say(PIECES[0])
    return asked.result(10)


def events_of(answer: TestResponse) -> list[dict[str, object]]:
    text = b"".join(answer.response).decode()
    return [json.loads(block.split("data: ", 1)[1]) for block in text.split("\n\n") if "data: " in block]


def test_the_first_piece_is_there_before_the_second_is_spoken(service, speaker, pool):
    answer = begin(service, speaker, pool)
    pieces = iter(answer.response)

    assert answer.status_code == 200
    assert answer.content_type == "audio/pcm"
    assert "Content-Length" not in answer.headers
    assert answer.headers["X-Job-ID"] == speaker.job.id
    assert answer.headers["X-Cache"] == "miss"
    assert answer.headers["X-Audio-Sample-Rate"] == "24000"
    assert next(pieces) == PIECES[0]
    assert speaker.job.status is JobStatus.RUNNING

    speaker.say(PIECES[1])
    assert next(pieces) == PIECES[1]
    speaker.say(PIECES[2], is_last=True)
    assert list(pieces) == [PIECES[2]]


def test_what_was_heard_to_the_end_is_not_cancelled(service, speaker, pool):
    answer = begin(service, speaker, pool)
    speaker.say(PIECES[1], is_last=True)

    assert b"".join(answer.response) == PIECES[0] + PIECES[1]
    answer.close()

    assert not speaker.job.cancel_requested


def test_an_error_before_the_first_piece_is_an_error_answer(service, speaker, pool):
    asked = pool.submit(ask, service)
    speaker.claim()
    speaker.fail()
    answer = asked.result(10)

    assert answer.status_code == 500
    assert answer.json["error_code"] == "synthesis_failed"


@pytest.mark.parametrize("code", [ErrorCode.SYNTHESIS_FAILED, ErrorCode.DEADLINE_EXCEEDED])
def test_an_error_after_the_first_piece_breaks_the_body(service, speaker, pool, code):
    answer = begin(service, speaker, pool)
    pieces = iter(answer.response)
    assert next(pieces) == PIECES[0]

    speaker.fail(code)

    with pytest.raises(StreamBroken):
        next(pieces)


def test_a_job_that_ends_without_its_last_piece_breaks_the_body(service, speaker, pool):
    """As when the store of chunks went away for a moment: the audio is whole elsewhere, here it is not."""
    answer = begin(service, speaker, pool)
    pieces = iter(answer.response)
    next(pieces)

    speaker.finish()

    with pytest.raises(StreamBroken):
        next(pieces)


def test_events_carry_the_audio_and_end_with_done(service, speaker, pool):
    answer = begin(service, speaker, pool, stream_format="sse", stream=False)
    speaker.say(PIECES[1], is_last=True)
    events = events_of(answer)

    assert answer.content_type.startswith("text/event-stream")
    assert [event["type"] for event in events] == ["speech.audio.delta"] * 2 + ["speech.audio.done"]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == PIECES[0] + PIECES[1]
    assert events[-1]["duration_s"] == round(30 / 24_000, 3)
    assert events[-1]["usage"]["input_tokens"] == len(BODY["text"])


def test_an_error_among_events_is_an_event(service, speaker, pool):
    answer = begin(service, speaker, pool, stream_format="sse")
    speaker.fail()
    events = events_of(answer)

    assert [event["type"] for event in events] == ["speech.audio.delta", "speech.audio.error"]
    assert events[-1]["error"]["code"] == "synthesis_failed"
    assert events[-1]["error"]["type"] == "server_error"


def test_accepting_events_gives_events(service, speaker, pool):
    asked = pool.submit(ask, service, {**BODY, "stream": False}, headers={"Accept": "text/event-stream"})
    speaker.claim()
    speaker.say(PIECES[0], is_last=True)

    assert [event["type"] for event in events_of(asked.result(10))] == ["speech.audio.delta", "speech.audio.done"]


def test_equal_requests_are_spoken_once_and_all_hear_it_all(service, speaker, pool):
    """Streamed as chunks, as events, or whole: one job; who comes late hears the beginning too."""
    first = begin(service, speaker, pool)
    late = ask(service)
    events = ask(service, {**BODY, "stream_format": "sse"})
    whole = pool.submit(ask, service, {**BODY, "stream": False})
    until(lambda: service.app.extensions["megatts3"].wait_room.waiters() == 1)
    for piece in PIECES[1:]:
        speaker.say(piece, is_last=piece is PIECES[2])
    speaker.finish()

    everything = b"".join(PIECES)
    assert b"".join(first.response) == everything
    assert b"".join(late.response) == everything
    assert b"".join(base64.b64decode(event["audio"]) for event in events_of(events)[:-1]) == everything
    assert whole.result(10).data == everything
    assert len(service.worker.sent) == 1


def test_who_hangs_up_first_takes_nothing_from_who_listens_on(service, speaker, pool):
    first = begin(service, speaker, pool)
    late = ask(service)
    first.close()
    until(lambda: speaker.job.id == late.headers["X-Job-ID"])
    for piece in PIECES[1:]:
        speaker.say(piece, is_last=piece is PIECES[2])
    speaker.finish()

    assert b"".join(late.response) == b"".join(PIECES)
    assert len(service.worker.sent) == 1
    left = {job.id: job.status for job in service.stores.jobs.list().jobs}
    assert left == {first.headers["X-Job-ID"]: JobStatus.CANCELLED, late.headers["X-Job-ID"]: JobStatus.DONE}


def test_what_is_in_the_cache_comes_whole(service):
    once = service.client.post(SYNTHESIZE, json={**BODY, "stream": False})
    again = service.client.post(SYNTHESIZE, json=BODY)
    events = ask(service, {**BODY, "stream_format": "sse"})

    assert (once.headers["X-Cache"], again.headers["X-Cache"]) == ("miss", "hit")
    assert again.data == once.data
    assert again.headers["Content-Length"] == str(len(once.data))
    assert events.headers["X-Cache"] == "hit"
    told = events_of(events)
    assert b"".join(base64.b64decode(event["audio"]) for event in told[:-1]) == once.data
    assert told[-1]["type"] == "speech.audio.done"
    assert len(told) > 1


def test_a_job_that_is_done_before_a_piece_was_heard_comes_whole(service):
    answer = ask(service, {**BODY, "response_format": "wav"})

    assert answer.status_code == 200
    assert b"".join(answer.response) == wav_bytes(0.5)


def test_a_listener_who_goes_ends_the_work_unless_another_listens(service, speaker, pool):
    one = begin(service, speaker, pool)
    other = ask(service)
    next(iter(one.response))

    one.close()
    assert not speaker.job.cancel_requested
    other.close()  # before its first piece was taken
    assert speaker.job.cancel_requested


def test_another_attempt_goes_on_where_the_lost_one_was(service, speaker, pool):
    """The worker dies after two pieces; another begins anew, cut into smaller ones."""
    answer = begin(service, speaker, pool)
    pieces = iter(answer.response)
    speaker.say(PIECES[1])
    assert [next(pieces), next(pieces)] == [PIECES[0], PIECES[1]]
    speaker.stores.jobs.release(speaker.job.id, speaker.token)

    speaker.claim()
    for piece in (PIECES[0], PIECES[1][:20], PIECES[1][20:]):
        speaker.say(piece)
    speaker.say(PIECES[2], is_last=True)

    assert list(pieces) == [PIECES[2]]


@pytest.mark.parametrize("again", [PIECES[0] + b"\0\0", PIECES[0][2:]])
def test_another_attempt_that_does_not_fit_breaks_the_body(service, speaker, pool, again):
    answer = begin(service, speaker, pool)
    pieces = iter(answer.response)
    next(pieces)
    speaker.stores.jobs.release(speaker.job.id, speaker.token)

    speaker.claim()
    speaker.say(again)
    speaker.say(PIECES[1], is_last=True)

    with pytest.raises(StreamBroken):
        list(pieces)


def test_another_attempt_cannot_go_on_with_a_compressed_stream(service, speaker, pool):
    answer = begin(service, speaker, pool, response_format="mp3")
    pieces = iter(answer.response)
    next(pieces)
    speaker.stores.jobs.release(speaker.job.id, speaker.token)

    speaker.claim()
    speaker.say(PIECES[0])

    with pytest.raises(StreamBroken):
        list(pieces)


def test_without_http_1_1_the_audio_comes_whole(service, speaker, pool):
    """There a body that ends early cannot be told from one that ends."""
    asked = pool.submit(ask, service, environ_overrides={"SERVER_PROTOCOL": "HTTP/1.0"})
    until(lambda: bool(speaker.stores.jobs.list().jobs))
    speaker.stores.chunks.want(speaker.job.id)
    speaker.claim()
    speaker.say(PIECES[0])
    speaker.finish()
    answer = asked.result(10)

    assert answer.data == b"".join(PIECES)
    assert answer.headers["Content-Length"] == str(len(b"".join(PIECES)))


def test_flac_comes_whole_and_says_so(service):
    answer = service.client.post(SYNTHESIZE, json={**BODY, "response_format": "flac"})

    assert answer.status_code == 200
    assert "stream" in answer.headers["X-Warnings"]


def test_json_is_never_streamed(service):
    answer = service.client.post(SYNTHESIZE, json=BODY, headers={"Accept": "application/json"})

    assert base64.b64decode(answer.json["audio_base64"]) == wav_bytes(0.5)


def test_a_stream_that_does_not_begin_in_time_is_504(settings, build):
    service = build(dataclasses.replace(settings, api=dataclasses.replace(settings.api, sync_wait_s=0.2)))
    service.worker.hold = True

    answer = ask(service)

    assert answer.status_code == 504
    assert answer.json["job_id"].startswith("job_")


def test_a_listener_that_waits_hears_of_a_hang_up(service, speaker, pool):
    """Between two segments nothing is written, so only a look at the connection tells."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asked = pool.submit(ask, service, environ_overrides={"gunicorn.socket": ours})
        speaker.claim()
        speaker.say(PIECES[0])
        pieces = iter(asked.result(10).response)
        assert next(pieces) == PIECES[0]

        theirs.close()

        assert list(pieces) == []
        assert speaker.job.cancel_requested
