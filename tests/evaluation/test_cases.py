import pytest

from megatts3.evaluation.cases import Counts, choose_cases, is_clear_speaker
from megatts3.training.data import Corpus


@pytest.fixture(scope="module")
def heldout(corpus_folder):
    return Corpus(corpus_folder, "heldout")


def test_flite_speaks_what_a_recogniser_understands():
    assert is_clear_speaker("heldout-slt-0")
    assert not is_clear_speaker("heldout-m7-0")


def test_a_prompt_is_another_sentence_of_the_same_speaker_and_language(heldout):
    cases = choose_cases(heldout, Counts())
    assert cases
    for case in cases:
        assert case.prompt.speaker == case.target.speaker
        assert case.prompt.language == case.target.language
        assert case.prompt.text != case.target.text


def test_every_speaker_has_a_turn_before_one_has_a_second(heldout):
    cases = choose_cases(heldout, Counts(clear_english=2, other_english=0, chinese=2))
    assert len({case.target.speaker for case in cases}) == 4


def test_counts_are_kept_by_kind(heldout):
    cases = choose_cases(heldout, Counts(clear_english=3, other_english=1, chinese=4))
    assert sum(case.is_clear for case in cases) == 3
    assert sum(case.target.language == "zh" for case in cases) == 4
    assert len(cases) == 8


def test_the_same_corpus_gives_the_same_cases(heldout):
    first, second = (
        [(case.target.id, case.prompt.id) for case in choose_cases(heldout, Counts.quick(2))] for _ in range(2)
    )
    assert first == second


def test_only_heldout_speakers_are_heard(heldout):
    assert all(case.target.speaker.startswith("heldout-") for case in choose_cases(heldout, Counts()))
