"""The inventory against the model's own tables, and the spellings that lead to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.errors import UnknownPhone
from megatts3.text import phones
from megatts3.text.phones import inventory

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "text" / "tokens.json").read_text("utf-8"))


def test_every_merged_code_decodes_as_the_reference_does():
    assert [[code, *phones.decode_code(code)] for code, _, _ in GOLDEN["merged_codes"]] == GOLDEN["merged_codes"]


@pytest.mark.parametrize("case", GOLDEN["split_ph"])
def test_sequences_of_codes_decode_as_the_reference_does(case):
    assert phones.decode_codes(case["tokens"]) == (tuple(case["phones"]), tuple(case["tones"]))


@pytest.mark.parametrize("case", GOLDEN["merge_phone_tone"])
def test_phones_and_tones_merge_as_the_reference_does(case):
    assert list(phones.encode_codes(case["phones"], case["tones"])) == case["merged"]


def test_names_become_the_reference_ids():
    case = GOLDEN["phone_encoder"]
    assert list(inventory().encode(case["text"].split())) == case["ids"]
    assert len(inventory().names) == case["size"]


@given(st.integers(3, 100), st.sampled_from(sorted(phones.TONE_IDS.values())))
def test_a_chinese_phone_and_its_tone_survive_the_round_trip(phone, tone):
    assert phones.decode_code(phones.encode_code(phone, tone)) == (phone, tone)


@given(st.integers(101, 173))
def test_other_phones_keep_their_id(phone):
    assert phones.encode_code(phone, phones.NO_TONE) == phone
    assert phones.decode_code(phone) == (phone, phones.NO_TONE)


@pytest.mark.parametrize("code", [-1, 0, 2, 174, 199, 200, 789, 801, 6800])
def test_a_code_outside_the_tables_is_refused(code):
    with pytest.raises(UnknownPhone) as refused:
        phones.decode_codes([145, code])
    assert refused.value.phone == code


@pytest.mark.parametrize(
    ("syllable", "names"),
    [
        ("zhong1", "C0zh C0ong"), ("lv4", "C0l C0v"), ("er5", "C0er"), ("yuan2", "C0van"), ("weng1", "C0ueng"),
        ("r", "C0er"), ("ju2", "C0j C0v"), ("quan1", "C0q C0van"), ("xun2", "C0x C0vn"), ("jue2", "C0j C0ve"),
        ("lue4", "C0l C0ve"), ("liu2", "C0l C0iou"), ("gui4", "C0g C0uei"), ("dun1", "C0d C0uen"),
        ("zi5", "C0z C0ii"), ("ci2", "C0c C0ii"), ("si4", "C0s C0ii"), ("zhi1", "C0zh C0iii"), ("ri4", "C0r C0iii"),
        ("wu3", "C0u"), ("yi1", "C0i"), ("you3", "C0iou"), ("yo1", "C0io"), ("yong4", "C0iong"), ("wen2", "C0uen"),
        ("yu2", "C0v"), ("nü3", "C0n C0v"), ("bo1", "C0b C0o"), ("huar1", "C0h C0uar"), ("dianr3", "C0d C0ianr"),
        ("shir4", "C0sh C0iiir"), ("zir3", "C0z C0iir"), ("n2", "C0n"), ("m2", "C0m"), ("ng4", "C0ng"),
    ],
)  # fmt: skip
def test_a_syllable_has_its_initial_and_final(syllable, names):
    assert inventory().decode(phones.syllable_phones(syllable)[0]) == tuple(names.split())


def test_both_parts_of_a_syllable_carry_its_tone():
    assert [phones.syllable_phones(f"ma{digit}")[1] for digit in (1, 2, 3, 4, 5, 0)] == [
        (4, 4), (11, 11), (12, 12), (13, 13), (14, 14), (14, 14)
    ]  # fmt: skip
    assert phones.syllable_phones("ma")[1] == (14, 14)


def test_every_reading_that_pypinyin_has_is_a_syllable():
    from pypinyin import pinyin_dict
    from pypinyin.contrib.tone_convert import to_tone3

    readings = {reading for readings in pinyin_dict.pinyin_dict.values() for reading in readings.split(",")}
    for reading in readings:
        ids, tones = phones.syllable_phones(to_tone3(reading, v_to_u=False, neutral_tone_with_five=True))
        assert 1 <= len(ids) == len(tones) <= 2
        assert all(phones.is_chinese_phone(phone) for phone in ids)


@pytest.mark.parametrize("syllable", ["", "5", "qx3", "bcd1", "zhongx", "hello", "v1x"])
def test_what_is_no_syllable_is_refused(syllable):
    with pytest.raises(UnknownPhone):
        phones.syllable_phones(syllable)


@pytest.mark.parametrize(
    ("name", "phone"),
    [
        ("AH0", "E0ax"),
        ("AH1", "E0ah"),
        ("AH2", "E0ah"),
        ("AH", "E0ah"),
        ("ax", "E0ax"),
        ("ER0", "E0er"),
        ("hh", "E0hh"),
        ("ZH", "E0zh"),
    ],
)
def test_arpabet_loses_its_stress_but_for_the_reduced_vowel(name, phone):
    assert inventory().names[phones.arpabet_phone(name)] == phone


def test_a_name_that_is_no_arpabet_is_refused():
    with pytest.raises(UnknownPhone):
        phones.arpabet_phone("pau")


def test_pause_classes_are_those_of_the_duration_rules():
    names = inventory().names
    assert {names[phone] for phone in phones.SENTENCE_PAUSES} == {"。", "！", "？", "sil"}
    assert {names[phone] for phone in phones.CLAUSE_PAUSES} == {"，", "；"}


def test_ascii_marks_are_said_as_their_wide_forms():
    assert [phones.punctuation_phone(mark) for mark in ",.!?:;"] == [
        phones.punctuation_phone(mark) for mark in "，。！？：；"
    ] == [163, 148, 153, 166, 164, 165]  # fmt: skip
    assert phones.punctuation_phone("…") == phones.ELLIPSIS
    assert phones.punctuation_phone("a") is None
    assert phones.punctuation_phone("sil") is None
