import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.evaluation.edit_distance import match

letters = st.text("abc", max_size=8)


@pytest.mark.parametrize(
    ("wanted", "found", "errors"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("abcd", "acbd", 2)],
)
def test_errors_are_the_fewest_changes(wanted, found, errors):
    assert match(wanted, found).errors == errors


def test_pairs_name_the_items_that_are_right():
    assert match("abcd", "xbd").pairs == ((1, 1), (3, 2))


@given(letters, letters)
def test_it_is_the_same_both_ways_and_bounded(wanted, found):
    errors = match(wanted, found).errors
    assert errors == match(found, wanted).errors
    assert abs(len(wanted) - len(found)) <= errors <= max(len(wanted), len(found))


@given(letters, letters)
def test_pairs_are_equal_items_in_order(wanted, found):
    pairs = match(wanted, found).pairs
    assert all(wanted[i] == found[j] for i, j in pairs)
    assert list(pairs) == sorted(pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


@given(letters)
def test_what_is_equal_has_no_errors_and_pairs_everything(text):
    found = match(text, text)
    assert found.errors == 0
    assert len(found.pairs) == len(text)
