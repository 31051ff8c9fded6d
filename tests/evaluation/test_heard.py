import numpy as np
import pytest

from megatts3.audio.waveform import Waveform
from megatts3.checkpoint import load_networks
from megatts3.evaluation.heard import PhoneErrors, heard_phones, phone_errors
from megatts3.rates import SAMPLE_RATE
from megatts3.text.phones import NO_TONE, SILENCE, syllable_phones
from scripts.make_tiny_checkpoint import SCRIPTED_PHONES, make_tiny_checkpoint


def said(*syllables):
    pairs = [pair for syllable in syllables for pair in zip(*syllable_phones(syllable), strict=True)]
    return [(SILENCE, NO_TONE), *pairs, (148, NO_TONE)]


def test_what_is_heard_as_asked_has_no_errors():
    assert phone_errors(said("ni3", "hao3"), said("ni3", "hao3")) == PhoneErrors(0, 4, 4, 4)


def test_a_wrong_tone_is_no_phone_error_but_counts_among_tones():
    assert phone_errors(said("ni3", "hao3"), said("ni2", "hao3")) == PhoneErrors(0, 4, 2, 4)


def test_the_tone_of_a_wrong_phone_counts_for_nothing():
    assert phone_errors(said("ni3", "hao3"), said("li3", "hao3")) == PhoneErrors(1, 4, 3, 3)


def test_pauses_count_for_nothing():
    asked = said("ni3", "hao3")
    assert phone_errors(asked, asked[1:-1]).wrong == 0
    assert phone_errors(asked, [asked[0], *asked]).wrong == 0


def test_what_was_not_said_and_what_was_not_asked_for_is_wrong():
    assert phone_errors(said("ni3", "hao3"), []) == PhoneErrors(4, 4, 0, 0)
    assert phone_errors(said("ni3"), said("ni3", "hao3")).wrong == 2


def test_the_aligner_is_asked_with_the_padding_of_a_prompt(tmp_path):
    networks = load_networks(make_tiny_checkpoint(tmp_path / "tiny"))
    clip = Waveform(np.full(SAMPLE_RATE, 0.1, np.float32), SAMPLE_RATE)
    assert [phone for phone, _ in heard_phones(networks, clip)] == list(SCRIPTED_PHONES)


def test_tokens_that_are_no_phones_are_left_out(tmp_path):
    networks = load_networks(make_tiny_checkpoint(tmp_path / "tiny"))
    projection = networks.aligner.decoder.out_proj
    projection.weight[SCRIPTED_PHONES[2]], projection.weight[790] = (
        projection.weight[790].clone(),
        projection.weight[SCRIPTED_PHONES[2]].clone(),
    )
    clip = Waveform(np.full(SAMPLE_RATE, 0.1, np.float32), SAMPLE_RATE)
    assert len(heard_phones(networks, clip)) == len(SCRIPTED_PHONES) - 1


@pytest.mark.parametrize("length", [1, 100])
def test_the_shortest_clips_are_heard_too(tmp_path, length):
    networks = load_networks(make_tiny_checkpoint(tmp_path / "tiny"))
    assert heard_phones(networks, Waveform(np.zeros(length, np.float32), SAMPLE_RATE))
