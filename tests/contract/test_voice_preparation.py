"""Who prepares which voice, and what its loss means: one suite over memory and Redis."""

from __future__ import annotations

import dataclasses
import os

import pytest

from contract.schemas import VoiceStatus
from contract.stores.burial import bury
from contract.stores.interfaces import VOICE_LOST

MINE = os.getpid()


@pytest.fixture
def begin(stores):
    def begin(voice, worker: str, **options) -> bool:
        return stores.voices.begin_preparing(voice.id, voice.version, worker=worker, **options)

    return begin


@pytest.fixture
def lose(stores, begin):
    """A worker is lost while it prepares the voice."""

    def lose(voice, worker: str):
        assert begin(voice, worker)
        bury(stores, worker, MINE)
        (preparation,) = stores.voices.preparing()
        assert preparation.is_buried
        return stores.voices.lost(preparation)

    return lose


def test_the_second_worker_that_is_lost_with_a_voice_is_the_last(stores, new_voice, begin, lose, clock):
    voice = stores.voices.create(new_voice())
    clock.advance(5)
    first = lose(voice, "worker0@here")
    assert (first.status, first.losses, first.updated_at) == (VoiceStatus.PREPARING, 1, voice.updated_at)
    assert not begin(voice, "worker1@here", suspects=False)

    second = lose(voice, "worker1@here")

    assert (second.status, second.losses, second.error) == (VoiceStatus.FAILED, 2, VOICE_LOST)
    assert second.updated_at == voice.updated_at + 5
    assert stores.voices.get("alice") == second
    assert stores.voices.preparing() == ()
    assert not begin(voice, "worker2@here")


def test_no_more_are_at_it_than_may_be_lost(stores, new_voice, begin):
    """Nobody has counted the two yet, and a third would go the same way."""
    voice = stores.voices.create(new_voice())
    other = stores.voices.create(new_voice("alice2"))
    assert [begin(voice, f"worker{n}@here") for n in range(3)] == [True, True, False]
    assert begin(voice, "worker0@here"), "its own does not count"
    assert begin(other, "worker2@here")
    stores.voices.end_preparing(voice.id, worker="worker0@here")
    assert begin(voice, "worker2@here")


def test_a_suspect_is_in_one_place_at_a_time(stores, new_voice, begin, lose):
    voice = stores.voices.create(new_voice())
    lose(voice, "worker0@here")
    assert begin(voice, "worker1@here")
    assert not begin(voice, "worker2@here")


def test_a_preparation_that_ended_is_nobodys_fault(stores, new_voice, begin):
    voice = stores.voices.create(new_voice())
    assert begin(voice, "worker0@here")
    (preparation,) = stores.voices.preparing()
    assert (preparation.voice_id, preparation.version, preparation.worker) == ("alice", 1, "worker0@here")
    assert (preparation.pid, preparation.is_buried) == (MINE, False)
    stores.voices.end_preparing(voice.id, worker="worker0@here")

    assert bury(stores, "worker0@here", MINE) == 0
    assert stores.voices.lost(preparation) is None
    assert stores.voices.get("alice").losses == 0


def test_only_what_that_process_had_begun_is_buried(stores, new_voice, begin):
    voices = [stores.voices.create(new_voice(name)) for name in ("amy", "bob")]
    for voice, worker in zip(voices, ("worker1@here", "worker11@here"), strict=True):
        assert begin(voice, worker)
    assert bury(stores, "worker1@here", MINE + 1) == 0, "the same name, another process"
    assert bury(stores, "worker1@here", MINE) == 1
    assert bury(stores, "worker1@here", MINE) == 1, "told twice"
    assert {each.worker: each.is_buried for each in stores.voices.preparing()} == {
        "worker1@here": True,
        "worker11@here": False,
    }


def test_a_loss_is_counted_by_one_sweeper(stores, new_voice, begin):
    voice = stores.voices.create(new_voice())
    assert begin(voice, "worker0@here")
    (preparation,) = stores.voices.preparing()
    assert stores.voices.lost(preparation).losses == 1
    assert stores.voices.lost(preparation) is None
    assert stores.voices.get("alice").losses == 1


def test_another_recording_begins_without_blame(stores, new_voice, begin, lose):
    old = stores.voices.create(new_voice())
    lose(old, "worker0@here")
    assert begin(old, "worker1@here")
    (preparation,) = stores.voices.preparing()
    new = stores.voices.create(new_voice(), replace=True)

    assert not begin(old, "worker2@here")
    assert stores.voices.lost(preparation) is None, "it was the former recording's"
    assert stores.voices.get("alice").losses == 0
    assert begin(new, "worker2@here", suspects=False)


def test_a_voice_that_became_ready_is_blamed_for_nothing(stores, new_voice, begin, lose):
    voice = stores.voices.create(new_voice())
    lose(voice, "worker0@here")
    assert begin(voice, "worker1@here")
    (preparation,) = stores.voices.preparing()
    assert stores.voices.prepared(voice.id, voice.version, prompt_blob="voices/alice/v1/prompt", revision="r1")

    assert stores.voices.get("alice").losses == 0
    assert stores.voices.lost(preparation) is None
    assert not begin(voice, "worker2@here"), "nothing is to be prepared"
    assert stores.voices.get("alice").status is VoiceStatus.READY


def test_a_voice_that_is_gone_is_nobodys(stores, new_voice, begin):
    voice = stores.voices.create(new_voice())
    assert begin(voice, "worker0@here")
    (preparation,) = stores.voices.preparing()
    stores.voices.delete(voice.id)
    assert stores.voices.lost(preparation) is None
    assert stores.voices.preparing() == ()
    assert not begin(voice, "worker0@here")
    assert not begin(dataclasses.replace(voice, id="nobody"), "worker0@here")
