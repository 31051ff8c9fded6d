"""The English dictionary and the guess for words that are not in it."""

from __future__ import annotations

import random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megatts3.text.lexicon import Lexicon, sound_out
from megatts3.text.phones import inventory, is_english_phone
from megatts3.text.word_table import WordTable

LEXICON = Lexicon.load()
WORDS = WordTable.load("lexicon.xz")
SOUNDS = WordTable.load("letter_to_sound.xz")


def said(phones):
    return " ".join(name.removeprefix("E0") for name in inventory().decode(phones))


def edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("about", "ax b aw t"), ("sofa", "s ow f ax"), ("cup", "k ah p"), ("the", "dh ax"), ("a", "ax"),
        ("hello", "hh ax l ow"), ("i'm", "ay m"), ("o'clock", "ax k l aa k"), ("king's", "k ih ng z"),
        ("cat's", "k ae t s"), ("fox's", "f aa k s ax z"), ("girls'", "g er l z"), ("zulu", "z uw l uw"),
    ],
)  # fmt: skip
def test_words_of_the_dictionary_have_reduced_vowels_marked(word, phones):
    assert said(LEXICON.lookup(word)) == phones


@pytest.mark.parametrize("word", ["", "gizmotron", "xyzzy", "a b", "中", "'", "zzzzzz"])
def test_a_word_that_is_not_there_is_none(word):
    assert LEXICON.lookup(word) is None


def test_every_word_is_found_and_is_english():
    entries = list(WORDS.items())
    assert len(entries) > 110_000
    for word, _ in random.Random(0).sample(entries, 3000):
        phones = LEXICON.lookup(word)
        assert phones
        assert all(map(is_english_phone, phones))


def test_letter_to_sound_gets_nine_phones_in_ten_of_words_it_never_saw():
    """One word in 20 was left out when the table was learned; the share of phones right is 1 − edits / length."""
    unseen = [(w, c) for w, c in WORDS.items() if w.isalpha() and len(w) > 2 and crc32(w.encode()) % 20 == 0]
    sample = random.Random(0).sample(unseen, 1500)
    guesses = [(sound_out(word, SOUNDS), codes) for word, codes in sample]
    wrong = sum(edit_distance(guess, codes) for guess, codes in guesses)
    assert 1 - wrong / sum(len(codes) for _, codes in sample) > 0.89
    assert sum(guess == codes for guess, codes in guesses) / len(sample) > 0.57


@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz'"), max_size=30))
def test_any_letters_can_be_guessed(word):
    assert all(map(is_english_phone, LEXICON.guess(word)))


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(
        st.text(st.sampled_from("ab'#["), min_size=1, max_size=6), st.text(st.sampled_from("0A["), min_size=1)
    )
)
def test_a_table_gives_back_what_was_packed(entries):
    import lzma

    table = WordTable(lzma.decompress(WordTable.pack(entries)))
    assert {key: table.get(key) for key in entries} == entries
    assert dict(table.items()) == entries
    assert table.get("zz") is None
