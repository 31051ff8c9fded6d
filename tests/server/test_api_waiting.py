"""The wait room: nothing is missed, nothing is left behind, Redis may come and go."""

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from api_service import until

from contract.errors import ErrorCode, ServiceError
from contract.schemas import Job, SpeechRequest
from contract.settings import Settings
from contract.stores.interfaces import Event, EventKind
from contract.stores.memory import MemoryEvents
from contract.stores.opening import open_stores
from megatts3_server.waiting import ClientGone, WaitRoom


@pytest.fixture
def events() -> MemoryEvents:
    return MemoryEvents()


@pytest.fixture
def room(events: MemoryEvents) -> Iterator[WaitRoom]:
    room = WaitRoom(events, recheck_s=60)
    yield room
    room.close()


def test_what_is_already_there_is_answered_at_once(room: WaitRoom):
    assert room.wait("job_1", lambda: "done", timeout_s=10) == "done"


def test_an_announcement_wakes_the_one_who_waits_for_it(room: WaitRoom, events: MemoryEvents):
    state: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(room.wait, "job_1", lambda: state[0] if state else None, timeout_s=30)
        until(lambda: room.waiters() == 1)
        state.append("done")
        events.publish(Event(EventKind.JOB, "job_1", "done"))

        assert answer.result(5) == "done"
    assert room.waiters() == 0


def test_what_happens_between_looking_and_waiting_is_not_missed(room: WaitRoom, events: MemoryEvents):
    """The change and its announcement come while the first look is being taken, too late for it to see."""
    looks: list[int] = []

    def look() -> str | None:
        looks.append(1)
        if len(looks) == 1:
            until(lambda: bool(events._listeners))
            events.publish(Event(EventKind.JOB, "job_1", "done"))
            return None
        return "done"

    assert room.wait("job_1", look, timeout_s=30) == "done"


def test_a_bell_hung_up_before_saves_the_first_look_and_misses_nothing(room: WaitRoom, events: MemoryEvents):
    looks: list[str] = []

    def look() -> str | None:
        looks.append("look")
        return "done"

    with room.registered({"job_1"}) as bell:
        bell.clear()  # a listener that has just begun rings
        assert room.wait("job_1", look, timeout_s=0.05, bell=bell) == "done"  # only as the time is up
        assert looks == ["look"]

        until(lambda: _announced(events, bell))
        assert room.wait("job_1", look, timeout_s=60, bell=bell) == "done"


def _announced(events: MemoryEvents, bell: threading.Event) -> bool:
    events.publish(Event(EventKind.JOB, "job_1", "done"))
    return bell.is_set()


def test_a_resync_makes_everyone_look_again(room: WaitRoom, events: MemoryEvents):
    state: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(room.wait, name, lambda: state[0] if state else None, timeout_s=30) for name in "ab"]
        until(lambda: room.waiters() == 2 and bool(events._listeners))
        state.append("done")
        events.publish(Event(EventKind.RESYNC))

        assert [answer.result(5) for answer in answers] == ["done", "done"]


def test_without_any_announcement_the_record_is_looked_at_every_few_seconds(events: MemoryEvents):
    room = WaitRoom(events, recheck_s=0.05)
    looks: list[int] = []

    assert room.wait("job_1", lambda: looks.append(1) or (len(looks) > 3 or None), timeout_s=10) is True
    room.close()


def test_when_the_time_is_up_the_answer_is_none(room: WaitRoom):
    assert room.wait("job_1", lambda: None, timeout_s=0.05) is None
    assert room.waiters() == 0


def test_a_store_that_is_away_is_waited_for(events: MemoryEvents):
    room = WaitRoom(events, recheck_s=0.05)
    looks: list[int] = []

    def look() -> str | None:
        looks.append(1)
        if len(looks) < 4:
            raise ServiceError(ErrorCode.STORE_UNAVAILABLE)
        return "done"

    assert room.wait("job_1", look, timeout_s=10) == "done"
    room.close()


def test_any_other_error_of_the_look_ends_the_wait(room: WaitRoom):
    def look() -> None:
        raise ServiceError(ErrorCode.JOB_NOT_FOUND)

    with pytest.raises(ServiceError):
        room.wait("job_1", look, timeout_s=10)
    assert room.waiters() == 0


def test_a_client_that_is_gone_ends_the_wait(room: WaitRoom):
    with pytest.raises(ClientGone):
        room.wait("job_1", lambda: None, timeout_s=10, is_gone=lambda: True)
    assert room.waiters() == 0


def test_many_waiters_share_one_listener(room: WaitRoom, events: MemoryEvents):
    gone = threading.Event()
    with ThreadPoolExecutor(30) as pool:
        answers = [pool.submit(room.wait, f"job_{n}", lambda: gone.is_set() or None, timeout_s=30) for n in range(30)]
        until(lambda: room.waiters() == 30)
        assert len(events._listeners) <= 1
        gone.set()
        events.publish(Event(EventKind.RESYNC))
        assert all(answer.result(5) for answer in answers)


@pytest.mark.redis
def test_a_wait_survives_a_restart_of_redis(settings: Settings, own_redis):
    used = dataclasses.replace(settings.redis, url=own_redis.url, is_given=True)
    stores = open_stores(dataclasses.replace(settings, redis=used))
    room = WaitRoom(stores.events, recheck_s=60)
    asked = threading.Event()

    def look() -> Job | None:
        asked.set()
        return stores.jobs.get("job_1")

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(room.wait, "job_1", look, timeout_s=30)
        assert asked.wait(10)
        own_redis.stop()
        own_redis.start()
        stores.jobs.create(Job(id="job_1", request=SpeechRequest(text="hi")))

        assert answer.result(20).id == "job_1"
    room.close()


def test_a_status_nobody_waits_for_wakes_nobody(room: WaitRoom, events: MemoryEvents):
    looks: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            room.wait, "job_1", lambda: looks.append(1) or None, timeout_s=1.0, is_news=lambda status: status == "done"
        )
        until(lambda: room.waiters() == 1 and bool(events._listeners) and len(looks) == 2)  # of the resync
        for _ in range(5):
            events.publish(Event(EventKind.JOB, "job_1", "running"))
        assert answer.result(5) is None

    assert len(looks) == 3  # the last when the time was up
