"""A voice's further recordings: ids, choice, and both stores."""

from __future__ import annotations

import dataclasses

import pytest

from contract import blob_keys
from contract.schemas import VOICE_ID, VoiceStatus
from contract.voice_styles import chosen, style_id, voice_of


def recording(stores, new_voice, style, *, of="alice", status=VoiceStatus.READY):
    further = new_voice(style_id(of, style))
    return stores.voices.create(dataclasses.replace(further, style=style, style_of=of, status=status))


@pytest.fixture
def alice(stores, new_voice):
    return stores.voices.create(dataclasses.replace(new_voice(), status=VoiceStatus.READY))


@pytest.mark.parametrize("style", ["happy", "Very Happy!", "高兴", "x" * 64, "../..", "a/b"])
def test_the_id_of_a_style_is_no_voice_id_and_its_blobs_lie_in_the_voices_folder(style):
    found = style_id("alice", style)

    assert not VOICE_ID.fullmatch(found)
    assert voice_of(found) == "alice"
    assert blob_keys.voice_prompt(found, 2).startswith("voices/alice/")
    assert blob_keys.voice_clip(found, "rec_1").startswith("voices/alice/")
    assert blob_keys.voice_prompt(found, 1) != blob_keys.voice_prompt("alice", 1)


def test_styles_are_those_of_this_voice_alone(stores, new_voice, alice):
    stores.voices.create(new_voice("alice2"))
    happy = recording(stores, new_voice, "happy")
    recording(stores, new_voice, "happy", of="alice2")

    assert stores.voices.styles("alice") == (happy,)
    assert stores.voices.styles("nobody") == ()
    assert happy in stores.voices.list()


def test_the_choice(stores, new_voice, alice):
    happy = recording(stores, new_voice, "happy")
    recording(stores, new_voice, "sad", status=VoiceStatus.PREPARING)

    assert chosen(stores.voices, "alice", " HAPPY").voice == happy
    assert chosen(stores.voices, "alice", "neutral").voice == alice
    assert chosen(stores.voices, "nobody", "neutral") is None
    for absent in ("sad", "angry"):
        found = chosen(stores.voices, "alice", absent)
        assert (found.voice, found.is_exact) == (alice, False)


def test_without_a_neutral_first_recording_the_neutral_further_one_is_chosen(stores, new_voice):
    first = dataclasses.replace(new_voice("bob"), style="happy", status=VoiceStatus.READY)
    stores.voices.create(first)
    assert chosen(stores.voices, "bob", "neutral").is_exact  # it has no other, and nobody asked for more
    neutral = recording(stores, new_voice, "neutral", of="bob")

    assert chosen(stores.voices, "bob", "neutral").voice == neutral
    assert chosen(stores.voices, "bob", "sad").voice == neutral


def test_consent_can_be_changed(stores, alice):
    assert stores.voices.update("alice", consent="yes").consent == "yes"
